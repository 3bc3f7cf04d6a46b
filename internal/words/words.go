// Package words is what the codes of Evergrant mean, in one sentence each: the
// reasons and flags of connections, the codes of problems, the warnings beside
// tokens or in place of a refresh, and what kept a merchant from finishing.
// Whoever tells people of a code takes its words from here, so that a code is
// told alike wherever it is met.
package words

import (
	"slices"
	"strings"
)

// Kind says where a code occurs.
type Kind string

// The kinds.
const (
	Reason  Kind = "reason"  // why a connection or a grant is in its state
	Flag    Kind = "flag"    // what is missing though a connection works
	Problem Kind = "problem" // code of an error of the API
	Link    Kind = "link"    // what kept a merchant from finishing
	Warning Kind = "warning" // beside a token, or in place of a refresh
)

// Entry is what a code means.
type Entry struct {
	Code  string
	Kinds []Kind
	// Is ends a sentence that begins with the connection's name; of reasons only.
	Is string
	// Title is the title of a problem with this code; of problems only.
	Title string
	Means string // one or two sentences
	Cause string // the usual one, if there is one, as a clause
	ActBy string // merchant, operator, provider or nobody
	// Next is the next step: a command or a few words, with REF for the connection
	// and APP for its app.
	Next string
}

// All returns every entry, in the order people read them.
func All() []Entry { return slices.Concat(reasons(), problems(), links()) }

// Of returns the entry of a code.
func Of(code string) (Entry, bool) {
	all := All()
	i := slices.IndexFunc(all, func(e Entry) bool { return e.Code == code })
	if i < 0 {
		return Entry{}, false
	}
	return all[i], true
}

// NextFor is the next step for a connection.
func (e Entry) NextFor(ref, app string) string {
	return strings.NewReplacer("REF", ref, "APP", app).Replace(e.Next)
}
