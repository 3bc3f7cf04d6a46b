package connect

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

//go:embed text/*.json
var wordFiles embed.FS

// phrase is a piece of text with facts in braces, like "Reconnect {name}".
//
// The facts: {brand}; {name}, the business; {login}, the provider; {host}, where
// the button leads; {party}, the business as the provider calls it; {since},
// {expires} and {completed}, days; {more}, a number above one; {code}, {mail},
// {phone}. {Name} and {Login} begin a sentence. {name.dative} and {login.dative}
// are for a language that has cases, where the business or the provider has no
// name and is called "your business".
type phrase string

// block is a heading and the paragraphs under it.
type block struct {
	Heading phrase
	Lead    []phrase
}

// words are all the texts of one language: its file in text/, which has exactly
// these members. A test tells of one that is missing.
type words struct {
	tag string // BCP 47

	Language string // in the language itself
	Dates    struct {
		Day, First phrase // of {d}, {month} and {year}; First is the first of a month
		Months     [12]string
	}
	Unnamed struct{ Business, BusinessDative, Provider, ProviderDative string }
	Labels  struct {
		More, StillMissing, Questions, WriteOrCall, Write, Call, Code, Languages phrase
	}
	Buttons struct{ ToProvider, Back, TryAgain, OtherLogin, NewLink, CarryOn phrase }
	Landing struct {
		Asks, WhoTitle, Who, WhoMissingTitle, WhoMissing, Destination, NotYours phrase
		Connect, Renew, Reconnect, AddGrant                                     block
	}
	Done struct {
		Heading, All, Some, Limited, Locations, LocationsOf, Close, HowToAdd, WhoCanAdd, ScopeTitle, Scope phrase
	}
	Already, Used, HelpAsked, Nowhere block
	Failure                           phrase
	Problems                          struct {
		Declined, Expired, Revoked, Unknown, OtherBusiness, ScopeMissing, Unavailable, TooSlow, OurFault, OurSetup, LostSession block
		Reopen                                                                                                                  phrase
	}
	Message struct {
		ConnectSubject, ReconnectSubject, AddGrantSubject, Hello                              phrase
		Connect, Reconnect, AddGrant, Missing, WhoOpens, Minute, Who, WhoMissing, Until, Code phrase
	}
	// Permissions are what apps ask for, by the words of [provider.Recipe].
	Permissions map[string]string
}

// tags are the languages there are, in the order of the switch.
func tags() []string { return []string{"en", "fr", "nl", "de", "es", "it"} }

// dictionary are the languages by tag.
type dictionary map[string]*words

// english is what is spoken to whom nothing is known of.
const english = "en"

// mustWords returns all languages.
func mustWords() dictionary {
	d, err := readWords()
	if err != nil {
		panic(err) // embedded, so a test finds what is wrong in them
	}
	return d
}

// readWords reads all languages.
func readWords() (dictionary, error) {
	d := make(dictionary)
	for _, tag := range tags() {
		raw, err := wordFiles.ReadFile("text/" + tag + ".json")
		if err != nil {
			return nil, fmt.Errorf("texts: %w", err)
		}
		w := &words{tag: tag}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(w); err != nil {
			return nil, fmt.Errorf("texts: text/%s.json: %w", tag, err)
		}
		d[tag] = w
	}
	return d, nil
}

// day writes a moment as merchants read it.
func (w *words) day(t time.Time) string {
	t = t.UTC()
	form := w.Dates.Day
	if t.Day() == 1 {
		form = w.Dates.First
	}
	return form.with("{d}", strconv.Itoa(t.Day()), "{month}", w.Dates.Months[t.Month()-1], "{year}", strconv.Itoa(t.Year()))
}
