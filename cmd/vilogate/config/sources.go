package config

// Sources are where a configuration comes from.
type Sources struct {
	// Getenv returns an environment variable, "" when there is none.
	Getenv func(string) string
	// ReadFile returns the content of a file.
	ReadFile func(string) ([]byte, error)
	// NoSecrets leaves values unset that are missing here, and does not check them: for a check where the secrets are not.
	NoSecrets bool
}
