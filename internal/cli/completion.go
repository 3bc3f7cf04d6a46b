package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a completion script.
func (c *completionCmd) Run(s *session) error {
	words := completions(s.model.Node)
	var script string
	switch c.Shell {
	case "fish":
		script = fishCompletion(words)
	case "zsh":
		script = "#compdef evergrant\nautoload -U +X bashcompinit && bashcompinit\n" + bashCompletion(words)
	default:
		script = bashCompletion(words)
	}
	_, err := fmt.Fprint(s.stdout, script)
	return err
}

// completions maps each command, "" for none, to the words that may follow it.
func completions(n *kong.Node) map[string][]string {
	words := map[string][]string{}
	var walk func(n *kong.Node, path string)
	walk = func(n *kong.Node, path string) {
		for _, f := range n.Flags {
			if !f.Hidden {
				words[path] = append(words[path], "--"+f.Name)
			}
		}
		for _, child := range n.Children {
			if child.Hidden {
				continue
			}
			words[path] = append(words[path], child.Name)
			walk(child, strings.TrimSpace(path+" "+child.Name))
		}
	}
	walk(n, "")
	return words
}

// bashCompletion walks the words typed so far down to a command and offers what
// may follow it, and the flags of every command.
func bashCompletion(words map[string][]string) string {
	var b strings.Builder
	b.WriteString(`_evergrant() {
  local path="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    case "${path:+$path }$word" in
`)
	for _, path := range slices.Sorted(maps.Keys(words)) {
		if path != "" {
			fmt.Fprintf(&b, "      %q) path=%q ;;\n", path, path)
		}
	}
	b.WriteString(`    esac
  done
  case "$path" in
`)
	for _, path := range slices.Sorted(maps.Keys(words)) {
		next := words[path]
		if path != "" {
			next = slices.Concat(next, flagsOf(words[""]))
		}
		fmt.Fprintf(&b, "    %q) COMPREPLY=($(compgen -W %q -- \"${COMP_WORDS[COMP_CWORD]}\")) ;;\n", path, strings.Join(next, " "))
	}
	b.WriteString("  esac\n}\ncomplete -o default -F _evergrant evergrant\n")
	return b.String()
}

// flagsOf returns the flags among words.
func flagsOf(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.HasPrefix(w, "--") })
}

// fishCompletion offers the commands and flags one by one.
func fishCompletion(words map[string][]string) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(words)) {
		condition := "__fish_use_subcommand"
		if path != "" {
			var seen []string
			for _, w := range strings.Fields(path) {
				seen = append(seen, "__fish_seen_subcommand_from "+w)
			}
			condition = strings.Join(seen, "; and ")
		}
		for _, w := range words[path] {
			if flag, ok := strings.CutPrefix(w, "--"); ok {
				if path == "" {
					fmt.Fprintf(&b, "complete -c evergrant -l %s\n", flag)
				} else {
					fmt.Fprintf(&b, "complete -c evergrant -n '%s' -l %s\n", condition, flag)
				}
				continue
			}
			fmt.Fprintf(&b, "complete -c evergrant -f -n '%s' -a %s\n", condition, w)
		}
	}
	return b.String()
}
