package dashboard

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connect"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/words"
)

// funcs are what the pages call.
func funcs(prefix string) template.FuncMap {
	return template.FuncMap{
		"at":        func(p string) string { return prefix + p },
		"ref":       func(ref string) string { return prefix + refPath(ref) },
		"time":      moment,
		"state":     stateWord,
		"languages": languages,
		"counted":   words.Counted,
		"lower":     strings.ToLower,
		"query":     url.QueryEscape,
		"path":      url.PathEscape,
		"clock":     clock,
	}
}

// timeForm is how a moment is written until the script puts it into the viewer's
// zone, and in the hint beside it.
const timeForm = "2 Jan 2006 15:04 UTC"

// moment writes a moment. The zero time is a dash.
func moment(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	t = t.UTC()
	written := t.Format(timeForm)
	// Digits, letters and punctuation of our own forms only.
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.Format(time.RFC3339), written, written))
}

// clock writes a moment under the day it is in. The script adds the day where the
// viewer has another one then.
func clock(t time.Time) template.HTML {
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time class="clock" datetime="%s" title="%s">%s</time>`, t.Format(time.RFC3339), t.Format(timeForm), t.Format("15:04")))
}

// stateWord is a state as people say it.
func stateWord(s string) string {
	switch grant.State(s) {
	case grant.Pending:
		return "not connected yet"
	case grant.NeedsReauthorization:
		return "needs login"
	}
	return strings.ReplaceAll(s, "_", " ")
}

// runway writes how long something lasts still: in days and hours, for there is
// nothing to do in minutes.
func runway(d time.Duration) string {
	days, hours := int(d/(24*time.Hour)), int(d%(24*time.Hour)/time.Hour)
	switch {
	case d < time.Hour:
		return words.Span(d)
	case days == 0:
		return words.Counted(hours, "hour", "hours")
	}
	return fmt.Sprintf("%d d %d h", days, hours)
}

// languages are what messages to merchants may be written in.
func languages() []connect.Language { return spoken }

var spoken = connect.Languages()

// upper writes a sentence that begins with a lower-case letter.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
