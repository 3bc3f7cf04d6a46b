package why

import (
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

// The measures of a story on a terminal.
const (
	titleWidth = 190
	storyLines = 12 // chapters told of each grant, the newest
)

// Text is the story for a person: how the connection is, what happened, and the
// next step.
func (a Account) Text() string {
	var b strings.Builder
	t := a.replay()
	for _, line := range words.Fold(strings.Fields(words.Printable(Title(a.conn)+" "+verdict(a.conn))), titleWidth) {
		b.WriteString(line + "\n")
	}
	named := ""
	for _, f := range a.facts(t.proofs()) {
		name := f.Name
		if name == named {
			name = ""
		}
		named = f.Name
		words.Hang(&b, fmt.Sprintf("  %-9s ", name), f.Text, f.Tail)
	}
	head := b.Len()
	for _, s := range t.sections() {
		s.write(&b, a)
	}
	if b.Len() > head {
		b.WriteByte('\n')
	}
	b.WriteString("Next: " + words.Printable(nextStep(a.conn)) + "\n")
	return b.String()
}

// section is a part of the story under a title.
type section struct {
	title, tail string
	story       []Chapter
}

// sections divides the story: with several grants each has its own, and what is
// about all of them comes last.
func (t *teller) sections() []section {
	var out []section
	grants := t.conn.Grants
	switch len(grants) {
	case 0:
		return []section{{"What happened", "", t.chapters()}}
	case 1:
		return []section{t.about(grants[0], t.chapters())}
	}
	for _, g := range grants {
		out = append(out, t.about(g, t.tales[g.ID].chapters))
	}
	return append(out, section{"What happened to all of it", "", t.rest})
}

// about is the section about a grant.
func (t *teller) about(g client.Grant, story []Chapter) section {
	s := section{title: "What happened to " + approval(g), tail: grantID(g), story: story}
	if !g.ConsentAt.IsZero() {
		s.title += " of " + t.when.full(g.ConsentAt)
	}
	return s
}

// write writes the newest chapters, day by day.
func (s section) write(b *strings.Builder, a Account) {
	if len(s.story) == 0 {
		return
	}
	b.WriteByte('\n')
	words.Hang(b, "", s.title, s.tail)
	told := s.story
	if n := len(told) - storyLines; n > 0 {
		words.Hang(b, "  ", earlier(told[:n], a.when), "")
		told = told[n:]
	}
	if a.cut {
		words.Hang(b, "  ", "The log goes back further: evergrant event list --ref "+a.conn.Ref, "")
	}
	day := ""
	for _, c := range told {
		if d := a.when.day(c.From); d != day {
			day = d
			b.WriteString("  " + d + "\n")
		}
		tail := tryID(c.Attempt)
		if c.What == aboutRenewals {
			tail = "" // nobody asks for it
		}
		words.Hang(b, "    "+a.when.time(c.From)+"  ", c.Text, tail)
	}
}

// earlier sums up what is not told in full.
func earlier(story []Chapter, when calendar) string {
	kinds := []struct {
		what      string
		one, many string
	}{
		{aboutLogin, "login", "logins"},
		{aboutRenewals, "renewal", "renewals"},
		{aboutTrouble, "time of trouble with the provider", "times of trouble with the provider"},
		{aboutUnsent, "time when nothing could be sent", "times when nothing could be sent"},
		{aboutLost, "lost answer", "lost answers"},
		{aboutRefusal, "refusal that was no proof", "refusals that were no proof"},
		{aboutRecovery, "answer that was restored", "answers that were restored"},
		{aboutEnd, "approval that ended", "approvals that ended"},
		{aboutIncidents, "incident of the app", "incidents of the app"},
	}
	var parts []string
	rest := len(story)
	for _, k := range kinds {
		n, chapters := 0, 0
		for _, c := range story {
			if c.What != k.what {
				continue
			}
			chapters++
			if n++; k.what == aboutRenewals {
				n += c.Tries - 1
			}
		}
		if rest -= chapters; n > 0 {
			parts = append(parts, words.Counted(n, k.one, k.many))
		}
	}
	if rest > 0 {
		parts = append(parts, words.Counted(rest, "other thing", "other things"))
	}
	last := story[0].To
	for _, c := range story {
		if c.To.After(last) {
			last = c.To
		}
	}
	return fmt.Sprintf("Earlier, from %s to %s: %s.", when.full(story[0].From), when.full(last), listed(parts))
}
