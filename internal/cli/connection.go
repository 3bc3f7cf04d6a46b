package cli

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/why"
	"github.com/evergrant/evergrant/internal/words"
)

type connectionCmd struct {
	List       connectionListCmd       `cmd:"" help:"List connections."`
	Show       connectionShowCmd       `cmd:"" help:"Show one connection and its grants."`
	Refresh    connectionRefreshCmd    `cmd:"" help:"Renew a connection's tokens now."`
	Verify     connectionVerifyCmd     `cmd:"" help:"Try a connection's tokens at the provider's API."`
	Locations  connectionLocationsCmd  `cmd:"" help:"Show which grants reach which locations, and what nobody reaches."`
	Disconnect connectionDisconnectCmd `cmd:"" help:"End a connection; its history stays."`
	Import     connectionImportCmd     `cmd:"" help:"Make or update many connections, one a line."`
	Export     connectionExportCmd     `cmd:"" help:"Print all connections, one a line, without their tokens."`
	Events     connectionEventsCmd     `cmd:"" help:"List a connection's events, oldest first."`
}

type connectionListCmd struct {
	App   string `placeholder:"NAME" help:"Only of this app."`
	State string `placeholder:"STATE" help:"Only in this state: pending, connected, degraded, needs_reauthorization, disconnected."`
	ActBy string `placeholder:"WHO" help:"Only where this one has to act: merchant, operator, provider, nobody."`
	Q     string `placeholder:"TEXT" help:"Only with this text in key or name."`
	Limit int    `placeholder:"N" help:"At most so many."`
}

// Run lists connections.
func (c *connectionListCmd) Run(s *session) error {
	r, err := s.remote()
	if err != nil {
		return err
	}
	f := client.ConnectionFilter{App: c.App, ActBy: c.ActBy, Query: c.Q}
	if c.State != "" {
		f.States = []string{c.State}
	}
	err = list(s, r, c.Limit, []string{"REF", "NAME", "STATE", "REASON", "ACT BY", "SINCE"},
		func(c client.Connection) []string {
			return []string{c.Ref, c.Name, c.State, c.Reason, c.ActBy, when(c.Since)}
		},
		func(limit int, cursor string) (client.Page[client.Connection], error) {
			f.Limit, f.Cursor = limit, cursor
			return r.Connections(s.ctx, f)
		})
	return r.failedRef("", err)
}

type connectionShowCmd struct {
	Ref string `arg:"" help:"Connection, like biz_42@k-series."`
}

// Run shows a connection.
func (c *connectionShowCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	conn, err := r.Connection(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	rows := [][2]string{
		{"ref", conn.Ref}, {"id", conn.ID}, {"name", conn.Name},
		{"state", conn.State}, {"reason", conn.Reason}, {"act by", conn.ActBy}, {"since", when(conn.Since)},
		{"next try", when(conn.NextTryAt)}, {"flags", strings.Join(conn.Flags, ", ")}, {"deadline", when(conn.Deadline)},
	}
	for _, g := range conn.Grants {
		who := g.Identity.Name
		if who == "" {
			who = "somebody"
		}
		rows = append(rows, [2]string{"grant", fmt.Sprintf("%s by %s: %s, %s, token until %s", g.ID, who, g.State, g.Scope, when(g.ExpiresAt))})
	}
	for _, row := range rows {
		if row[1] == "" || row[1] == "-" {
			continue
		}
		if _, err := fmt.Fprintf(s.stdout, "%-9s %s\n", row[0], words.Printable(row[1])); err != nil {
			return err
		}
	}
	return nil
}

type connectionRefreshCmd struct {
	Ref string `arg:"" help:"Connection, like biz_42@k-series."`
}

// Run refreshes a connection and waits for it.
func (c *connectionRefreshCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	grants, err := r.Refresh(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if s.root.JSON {
		if err := s.printJSON(r.answers.last); err != nil {
			return err
		}
	}
	refreshed := 0
	for _, g := range grants {
		line := "refreshed"
		switch {
		case g.Refreshed:
			refreshed++
		case g.RetryAfter > 0:
			line = fmt.Sprintf("not refreshed (%s); try again in %s", g.Reason, time.Duration(g.RetryAfter)*time.Second)
		default:
			line = fmt.Sprintf("not refreshed (%s)", g.Reason)
		}
		if !s.root.JSON {
			if _, err := fmt.Fprintf(s.stdout, "%s  %s\n", words.Printable(g.ID), words.Printable(line)); err != nil {
				return err
			}
		}
	}
	if refreshed == len(grants) && refreshed > 0 {
		return nil
	}
	// The reason of what was not refreshed decides, as it does for a token.
	conn, err := r.Connection(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if conn.ActBy == "merchant" {
		return &failure{code: exitReauthorize, err: fmt.Errorf("%s: the business must authorize again; next: evergrant link create %s", c.Ref, c.Ref)}
	}
	return &failure{code: exitTemporary, err: fmt.Errorf("%s: not everything was refreshed; next: evergrant why %s", c.Ref, c.Ref)}
}

type connectionDisconnectCmd struct {
	Ref string `arg:"" help:"Connection, like biz_42@k-series."`
	Yes bool   `short:"y" help:"Do not ask."`
}

// Run disconnects a connection.
func (c *connectionDisconnectCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	conn, err := r.Connection(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if !c.Yes {
		s.say("This ends %s: its tokens are revoked where the provider can do it, and only its merchant can connect it again.", words.Printable(why.Title(conn)))
		if err := s.confirm(conn.Key); err != nil {
			return err
		}
	}
	after, err := r.Disconnect(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	s.say("%s is %s. To connect it again: evergrant link create %s", words.Printable(why.Title(after)), after.State, after.Ref)
	return nil
}

// confirm has a person type a word before something that cannot be undone.
func (s *session) confirm(word string) error {
	if f, ok := s.stdin.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return usage("nobody is here to be asked; add --yes if this is meant")
	}
	fmt.Fprintf(s.stderr, "Type %s to go on: ", words.Printable(word))
	line, err := bufio.NewReader(s.stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != word {
		return usage("not confirmed; nothing was changed")
	}
	return nil
}
