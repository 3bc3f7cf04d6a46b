package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type manCmd struct{}

// Run prints the manual page, made from the same grammar as the help:
// evergrant man | man -l -
func (c *manCmd) Run(s *session) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH EVERGRANT 1 \"\" \"evergrant %s\"\n.SH NAME\nevergrant \\- keeps OAuth grants alive for every business your app serves\n", roff(s.version))
	b.WriteString(".SH SYNOPSIS\n.B evergrant\n.I COMMAND\n[\\fIFLAG\\fR ...]\n.SH COMMANDS\n")
	manNode(&b, s.model.Node, "evergrant")
	b.WriteString(".SH FLAGS OF EVERY COMMAND\n")
	manFlags(&b, s.model.Flags)
	b.WriteString(".SH EXIT STATUS\n")
	for code, text := range []string{"done", "failed", "usage", "not found", "not allowed", "the business must authorize again", "temporary", "doctor found errors"} {
		fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", code, text)
	}
	_, err := fmt.Fprint(s.stdout, b.String())
	return err
}

// manNode writes the commands below a node that can be run.
func manNode(b *strings.Builder, n *kong.Node, path string) {
	for _, child := range n.Children {
		if child.Hidden {
			continue
		}
		at := path + " " + child.Name
		if len(child.Children) > 0 {
			manNode(b, child, at)
			continue
		}
		for _, p := range child.Positional {
			at += " " + strings.ToUpper(p.Name)
		}
		fmt.Fprintf(b, ".SS %s\n%s\n", roff(at), roff(child.Help))
		manFlags(b, child.Flags)
	}
}

func manFlags(b *strings.Builder, flags []*kong.Flag) {
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		if !f.IsBool() {
			name += " " + f.FormatPlaceHolder()
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(f.Help))
	}
}

// roff escapes a text for a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
