package e2e_test

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/oracle"
)

// slack is how long an answer may take from the provider to our journal.
const slack = 500 * time.Millisecond

// blow is the death of a process, or a while in which it stood still.
type blow struct {
	process  int       // the server's how manieth
	from, to time.Time // no end for a death; from its order on a process runs no code of its own
}

// cut reports whether the blow may have cost the answer to a send: it struck the
// process that sent it, and not long after the answer was written. A request may be
// read, and answered, long after its sender has died.
func (b blow) cut(s oracle.Send) bool {
	return s.Client == strconv.Itoa(b.process) && b.from.Before(s.End.Add(slack)) && (b.to.IsZero() || b.to.After(s.Start))
}

// around tells when the sender of a request died or stood still.
func around(blows []blow, s oracle.Send) string {
	text := fmt.Sprintf("process %s, answered in %v", s.Client, s.End.Sub(s.Start))
	for _, b := range blows {
		switch {
		case s.Client != strconv.Itoa(b.process) && !strings.HasPrefix(s.Client, strconv.Itoa(b.process)+"."):
		case b.to.IsZero():
			text += fmt.Sprintf(", killed %v after the answer", b.from.Sub(s.End))
		default:
			text += fmt.Sprintf(", stood still from %v to %v after the answer", b.from.Sub(s.End), b.to.Sub(s.End))
		}
	}
	return text
}
