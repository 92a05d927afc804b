package main

import (
	_ "time/tzdata" // an image FROM scratch has no time zones

	_ "golang.org/x/crypto/x509roots/fallback" // nor any authorities; a machine's own come first
)
