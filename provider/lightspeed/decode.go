package lightspeed

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// business is one entry of either call, with text for ids: they are JSON numbers
// of 15 digits and more, which a float would round.
type business struct {
	id, name  string
	locations []location
}

type location struct{ id, name string }

// financialPage is one page of /f/data/businesses.
type financialPage struct {
	businesses []business
	more       bool // the page names a next one
}

// errShape does not wrap the decoder's error, whose text could quote the body.
var errShape = errors.New("the answer is not the JSON that Lightspeed documents")

// whiteSpace is what may stand around JSON (RFC 8259 section 2), which is less
// than what Unicode calls space.
const whiteSpace = " \t\r\n"

// decodeFinancial reads a HAL page. An absent list is an empty one; an entry
// without an id that makes sense is left out.
func decodeFinancial(body []byte) (financialPage, error) {
	var doc struct {
		Embedded struct {
			List []struct {
				ID        scalar `json:"businessId"`
				Name      scalar `json:"businessName"`
				Locations []struct {
					ID   scalar `json:"blID"`
					Name scalar `json:"blName"`
				} `json:"businessLocations"`
			} `json:"businessList"`
		} `json:"_embedded"`
		Links map[string]json.RawMessage `json:"_links"`
	}
	if err := object(body, &doc); err != nil {
		return financialPage{}, err
	}
	var p financialPage
	_, p.more = doc.Links["next"]
	for _, e := range doc.Embedded.List {
		b := business{id: e.ID.id(), name: e.Name.text()}
		for _, l := range e.Locations {
			b.locations = appendLocation(b.locations, l.ID, l.Name)
		}
		if b.id != "" {
			p.businesses = append(p.businesses, b)
		}
	}
	return p, nil
}

// decodeOrders reads the bare array of /o/op/data/businesses.
func decodeOrders(body []byte) ([]business, error) {
	var doc []struct {
		ID        scalar `json:"id"`
		Name      scalar `json:"name"`
		Locations []struct {
			ID   scalar `json:"id"`
			Name scalar `json:"name"`
		} `json:"businessLocations"`
	}
	if b := bytes.Trim(body, whiteSpace); len(b) == 0 || b[0] != '[' || json.Unmarshal(b, &doc) != nil {
		return nil, errShape
	}
	var all []business
	for _, e := range doc {
		b := business{id: e.ID.id(), name: e.Name.text()}
		for _, l := range e.Locations {
			b.locations = appendLocation(b.locations, l.ID, l.Name)
		}
		if b.id != "" {
			all = append(all, b)
		}
	}
	return all, nil
}

// decodeReservations reads the bare array of
// /reservation/api/1/user/platform/{code}/business-locations.
func decodeReservations(body []byte) ([]location, error) {
	var doc []struct {
		ID   scalar `json:"businessLocationId"`
		Name scalar `json:"name"`
	}
	if b := bytes.Trim(body, whiteSpace); len(b) == 0 || b[0] != '[' || json.Unmarshal(b, &doc) != nil {
		return nil, errShape
	}
	var all []location
	for _, e := range doc {
		all = appendLocation(all, e.ID, e.Name)
	}
	return all, nil
}

func object(body []byte, into any) error {
	if b := bytes.Trim(body, whiteSpace); len(b) == 0 || b[0] != '{' || json.Unmarshal(b, into) != nil {
		return errShape
	}
	return nil
}

func appendLocation(ls []location, id, name scalar) []location {
	if id := id.id(); id != "" {
		return append(ls, location{id, name.text()})
	}
	return ls
}

// Bounds of one id and one name.
const (
	mostID   = 64
	mostName = 200
)

// scalar keeps a JSON string or whole number as the text it was written in.
// Anything else is taken for absent: the digits of a number with an exponent are
// not known.
type scalar string

// UnmarshalJSON implements [json.Unmarshaler]. It fails on nothing.
func (s *scalar) UnmarshalJSON(b []byte) error {
	*s = ""
	switch {
	case len(b) > 0 && b[0] == '"':
		var v string
		if json.Unmarshal(b, &v) == nil {
			*s = scalar(v)
		}
	case len(b) > 0 && strings.Trim(string(b), "0123456789") == "":
		*s = scalar(b)
	}
	return nil
}

// id returns the scalar as an id: short, of letters, digits, "-" and "_".
func (s scalar) id() string {
	ok := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_'
	}
	if len(s) == 0 || len(s) > mostID || strings.ContainsFunc(string(s), func(r rune) bool { return !ok(r) }) {
		return ""
	}
	return string(s)
}

// text returns the scalar as a name for people: valid, printable, at most 200
// characters.
func (s scalar) text() string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(s), ""))
	clean = strings.Join(strings.Fields(clean), " ")
	if utf8.RuneCountInString(clean) > mostName {
		clean = string([]rune(clean)[:mostName-1]) + "…"
	}
	return clean
}
