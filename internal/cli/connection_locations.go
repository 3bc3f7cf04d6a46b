package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

type connectionLocationsCmd struct {
	Ref     string `arg:"" help:"Connection, like biz_42@k-series."`
	Refresh bool   `help:"Read them from the provider first."`
}

// Run shows a connection's coverage. The table goes to standard output, what is
// missing and what to do about it is talk.
func (c *connectionLocationsCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	read := r.Locations
	if c.Refresh {
		read = r.RefreshLocations
	}
	cover, err := read(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	if s.root.JSON {
		return s.printJSON(r.answers.last)
	}
	var rows [][]string
	for _, l := range cover.Locations {
		need := ""
		if l.Required {
			need = "required"
		}
		rows = append(rows, []string{l.ID, l.Name, l.BusinessName, need, reachedBy(l)})
	}
	if err := s.table([]string{"ID", "NAME", "BUSINESS", "NEEDED", "REACHED BY"}, rows); err != nil {
		return err
	}
	switch {
	case len(cover.Locations) == 0:
		s.say("No location is known. Where the provider lists none, name them when a link is made: evergrant link create %s --location ID", c.Ref)
		return nil
	case len(cover.MinimalGrants) > 0:
		s.say("%d of %d are reached; %s would do. As of %s.", len(cover.Locations)-unreached(cover), len(cover.Locations),
			strings.Join(cover.MinimalGrants, ", "), when(cover.AsOf))
	}
	if len(cover.Uncovered) == 0 {
		return nil
	}
	s.say("Nobody reaches %s.", strings.Join(uncoveredNames(cover), ", "))
	for _, l := range cover.Locations {
		if !slices.Contains(cover.Uncovered, l.ID) || len(l.RestorableBy) == 0 {
			continue
		}
		s.say("  %s", words.Printable(restoring(l)))
	}
	s.say("To have somebody who sees them log in: evergrant link create %s --add-grant --location %s", c.Ref, strings.Join(cover.Uncovered, " --location "))
	return nil
}

func reachedBy(l client.Location) string {
	if len(l.Grants) == 0 {
		return "nobody"
	}
	return strings.Join(l.Grants, ", ")
}

func unreached(c client.Coverage) (n int) {
	for _, l := range c.Locations {
		if len(l.Grants) == 0 {
			n++
		}
	}
	return n
}

// uncoveredNames are the locations that nobody reaches and somebody should.
func uncoveredNames(c client.Coverage) []string {
	var names []string
	for _, l := range c.Locations {
		if !slices.Contains(c.Uncovered, l.ID) {
			continue
		}
		if l.Name == "" {
			names = append(names, words.Printable(l.ID))
			continue
		}
		names = append(names, words.Printable(l.Name)+" ("+words.Printable(l.ID)+")")
	}
	return names
}

// restoring says who could bring a location back, and how.
func restoring(l client.Location) string {
	by := l.RestorableBy[0]
	who := by.Identity.Subject
	if who == "" {
		who = "somebody"
	}
	name := l.Name
	if name == "" {
		name = l.ID
	}
	if by.Live {
		return fmt.Sprintf("%s: %s saw it until %s (%s); give that user access at the provider again", name, who, when(by.LostAt), by.Grant)
	}
	return fmt.Sprintf("%s: %s saw it last on %s (%s); that user, or another who sees it, has to log in", name, who, when(by.SeenAt), by.Grant)
}
