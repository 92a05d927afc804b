package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints what a shell needs to complete commands and flags.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the script. It is made from the command line's own description, so that the two cannot differ.
func (c *completionCommand) Run(w *commandEnv, model *kong.Application) error {
	var cases strings.Builder
	completions(&cases, model.Node, "", map[string]string{"bash": bashCase, "zsh": bashCase, "fish": fishCase}[c.Shell])
	_, err := fmt.Fprintf(w.stdout, map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[c.Shell], cases.String())
	return err
}

// completions writes, for each command, the words that may follow it.
func completions(out *strings.Builder, node *kong.Node, path, format string) {
	if node.Passthrough {
		return // not supported yet
	}
	var words []string
	for _, child := range node.Children {
		if child.Passthrough {
			continue
		}
		words = append(words, child.Name)
	}
	for _, argument := range node.Positional {
		if argument.Enum != "" {
			words = append(words, argument.EnumSlice()...)
		}
	}
	for _, flags := range node.AllFlags(true) {
		for _, flag := range flags {
			words = append(words, "--"+flag.Name)
		}
	}
	fmt.Fprintf(out, format, path, strings.Join(words, " "))
	for _, child := range node.Children {
		completions(out, child, strings.TrimSpace(path+" "+child.Name), format)
	}
}

const (
	bashCase   = "    %q) candidates=%q ;;\n"
	fishCase   = "        case %q; string split ' ' %q\n"
	bashScript = `# vilogate in bash: source <(vilogate completion bash)
_vilogate() {
  local command="" candidates="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == -* ]] && break
    command="${command:+$command }${COMP_WORDS[i]}"
  done
  case "$command" in
%s  esac
  COMPREPLY=($(compgen -W "$candidates" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _vilogate vilogate
`
	zshScript = `#compdef vilogate
# vilogate in zsh: source <(vilogate completion zsh)
_vilogate() {
  local command="" candidates="" word
  for word in "${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] && break
    command="${command:+$command }$word"
  done
  case "$command" in
%s  esac
  compadd -- ${=candidates}
}
compdef _vilogate vilogate
`
	fishScript = `# vilogate in fish: vilogate completion fish | source
function __vilogate_words
    set -l path
    for word in (commandline -opc)[2..]
        string match -q -- '-*' $word; and break
        set -a path $word
    end
    switch "$path"
%s    end
end
complete -c vilogate -f -a '(__vilogate_words)'
`
)
