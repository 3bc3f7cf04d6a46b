package lightspeed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strconv"
)

// Paging is how a list is paged. Each API of each series has its own way.
type Paging string

// The ways. K-Series' are from https://api-docs.lsk.lightspeed.app and
// https://api-portal.lsk.lightspeed.app/guides/best-practices/pagination, R-Series'
// from https://developers.lightspeedhq.com/retail/introduction/pagination/, X-Series'
// from https://x-series-api.lightspeedhq.com/docs/pagination.
const (
	// KPages are numbered from 0: page and size, at most 1000. The list is the one
	// under _embedded, or the answer itself. Businesses, rich items, reservations.
	KPages Paging = "k-pages"
	// KStaff are numbered from 1: page and size, 10 unless you say otherwise. The
	// list is the one under data. Staff.
	KStaff Paging = "k-staff"
	// KItems are counted: offset and amount, at most 1000. The list is the answer
	// itself. A query with itemIds is one page. Items.
	KItems Paging = "k-items"
	// KSalesLinks is _links.nextPage.href, of which the nextPageToken is taken:
	// the link names a host that no token may go to. pageSize at most 1000. Sales
	// V1, /f/finance/….
	KSalesLinks Paging = "k-sales-links"
	// KSalesTokens is nextPageToken. pageSize at most 100. Sales V2, /f/v2/….
	KSalesTokens Paging = "k-sales-tokens"
	// KPayments is nextOffset. pageSize at most 100. Payments V2.
	KPayments Paging = "k-payments"
	// RNext is @attributes.next of version 3, of which the query is taken. limit at
	// most 100. The list is the one member beside @attributes; an array, one
	// object or nothing.
	RNext Paging = "r-next"
	// XVersions is version.max of version 2.0 and later, asked for as after until a
	// page is empty. page_size is the vendor's choice unless you say otherwise.
	// With after in the query the list is what changed since.
	XVersions Paging = "x-versions"
)

// dialect is what a way of paging needs to know.
type dialect struct {
	size  string // the parameter for the size of a page
	most  int    // the largest size
	usual int    // asked for if nobody says; 0 leaves the parameter out
	start url.Values
	// read takes an answer apart that came to query.
	read func(query url.Values, body []byte) (page, error)
}

// mostUnpublished bounds the size of a page where the vendor publishes no bound.
const mostUnpublished = 10_000

func (p Paging) dialect() (dialect, bool) {
	switch p {
	case KPages:
		return dialect{"size", 1000, 1000, url.Values{"page": {"0"}}, readKPages}, true
	case KStaff:
		return dialect{"size", mostUnpublished, 0, url.Values{"page": {"1"}}, readKStaff}, true
	case KItems:
		return dialect{"amount", 1000, 1000, url.Values{"offset": {"0"}}, readKItems}, true
	case KSalesLinks:
		return dialect{"pageSize", 1000, 1000, nil, readKSalesLinks}, true
	case KSalesTokens:
		return dialect{"pageSize", 100, 100, nil, readKSalesTokens}, true
	case KPayments:
		return dialect{"pageSize", 100, 100, url.Values{"offset": {"0"}}, readKPayments}, true
	case RNext:
		return dialect{"limit", 100, 100, nil, readRNext}, true
	case XVersions:
		return dialect{"page_size", mostUnpublished, 0, nil, readXVersions}, true
	}
	return dialect{}, false
}

// first is the query of the first page.
func (d dialect) first(l List) (url.Values, error) {
	size := l.PageSize
	if size < 0 || size > d.most {
		return nil, fmt.Errorf("lightspeed: List.PageSize is %d and must be between 1 and %d, or 0", size, d.most)
	}
	if size == 0 {
		size = d.usual
	}
	q := maps.Clone(l.Query)
	if q == nil {
		q = url.Values{}
	}
	for name, v := range d.start {
		if !q.Has(name) {
			q[name] = v
		}
	}
	if size > 0 {
		q.Set(d.size, strconv.Itoa(size))
	}
	return q, nil
}

// with is q with one parameter changed.
func with(q url.Values, name, value string) url.Values {
	q = maps.Clone(q)
	q.Set(name, value)
	return q
}

// following is q with its number raised by n.
func following(q url.Values, name string, n int) url.Values {
	return with(q, name, strconv.Itoa(number(q, name)+n))
}

// link is where HAL says something is.
type link struct {
	Href scalar `json:"href"`
}

func readKPages(q url.Values, body []byte) (page, error) {
	var doc struct {
		Embedded json.RawMessage `json:"_embedded"`
		Links    struct {
			Next *link `json:"next"`
		} `json:"_links"`
		Page struct {
			Number scalar `json:"number"`
			Total  scalar `json:"totalPages"`
		} `json:"page"`
	}
	var p page
	var err error
	more := false
	if bare(body) {
		p.entries, err = array(body)
	} else if err = object(body, &doc); err == nil {
		p.entries, err = onlyList(doc.Embedded)
		more = doc.Links.Next != nil
		if total, err := strconv.Atoi(string(doc.Page.Total)); err == nil && number(q, "page")+1 < total {
			more = true
		}
	}
	// The links name a host of old; the next page's address is made here.
	if err == nil && len(p.entries) > 0 && (more || len(p.entries) >= number(q, "size")) {
		p.next = following(q, "page", 1)
	}
	return p, err
}

func readKStaff(q url.Values, body []byte) (page, error) {
	var doc struct {
		Data  json.RawMessage `json:"data"`
		Links struct {
			Next *link `json:"next"`
		} `json:"links"`
		Page struct {
			Total scalar `json:"totalPages"`
		} `json:"page"`
	}
	if err := object(body, &doc); err != nil {
		return page{}, err
	}
	var p page
	var err error
	if bare(doc.Data) {
		p.entries, err = array(doc.Data)
	} else {
		p.entries, err = onlyList(doc.Data)
	}
	if err != nil {
		return page{}, err
	}
	more := doc.Links.Next != nil && doc.Links.Next.Href != ""
	if total, err := strconv.Atoi(string(doc.Page.Total)); err == nil {
		more = number(q, "page") < total
	}
	if more && len(p.entries) > 0 {
		p.next = following(q, "page", 1)
	}
	return p, nil
}

func readKItems(q url.Values, body []byte) (page, error) {
	list, err := array(body)
	if err != nil {
		return page{}, err
	}
	p := page{entries: list}
	if len(list) > 0 && len(list) >= number(q, "amount") && !q.Has("itemIds") {
		p.next = following(q, "offset", len(list))
	}
	return p, nil
}

// pageToken is the parameter of both versions of sales.
const pageToken = "nextPageToken"

func readKSalesLinks(q url.Values, body []byte) (page, error) {
	var doc struct {
		Sales json.RawMessage `json:"sales"`
		Links struct {
			Next *link `json:"nextPage"`
		} `json:"_links"`
	}
	if err := object(body, &doc); err != nil {
		return page{}, err
	}
	p := page{}
	var err error
	if p.entries, err = array(doc.Sales); err != nil || doc.Links.Next == nil || doc.Links.Next.Href == "" {
		return p, err
	}
	u, err := url.Parse(string(doc.Links.Next.Href))
	if err != nil || u.Query().Get(pageToken) == "" {
		return page{}, errShape
	}
	p.next = with(q, pageToken, u.Query().Get(pageToken))
	return p, nil
}

func readKSalesTokens(q url.Values, body []byte) (page, error) {
	var doc struct {
		Sales json.RawMessage `json:"sales"`
		Next  scalar          `json:"nextPageToken"`
	}
	if err := object(body, &doc); err != nil {
		return page{}, err
	}
	list, err := array(doc.Sales)
	p := page{entries: list}
	if doc.Next != "" {
		p.next = with(q, pageToken, string(doc.Next))
	}
	return p, err
}

func readKPayments(q url.Values, body []byte) (page, error) {
	var doc struct {
		Payments json.RawMessage `json:"payments"`
		Next     scalar          `json:"nextOffset"`
	}
	if err := object(body, &doc); err != nil {
		return page{}, err
	}
	list, err := array(doc.Payments)
	p := page{entries: list}
	if _, noNumber := strconv.ParseUint(string(doc.Next), 10, 63); noNumber == nil && len(list) > 0 {
		p.next = with(q, "offset", string(doc.Next))
	}
	return p, err
}

func readRNext(_ url.Values, body []byte) (page, error) {
	var doc map[string]json.RawMessage
	if err := object(body, &doc); err != nil {
		return page{}, err
	}
	var about some[struct {
		Next scalar `json:"next"`
	}]
	_ = json.Unmarshal(doc["@attributes"], &about) // absent, or [] where there are none
	delete(doc, "@attributes")
	var p page
	switch len(doc) {
	case 0: // an empty list has no key
	case 1:
		for _, member := range doc {
			var list some[json.RawMessage]
			if err := json.Unmarshal(member, &list); err != nil {
				return page{}, errShape
			}
			p.entries = raw(list)
		}
	default:
		return page{}, errShape
	}
	for _, a := range about {
		if u, err := url.Parse(string(a.Next)); err == nil && u.RawQuery != "" {
			p.next = u.Query()
		} else if a.Next != "" {
			return page{}, errShape
		}
	}
	return p, nil
}

func readXVersions(q url.Values, body []byte) (page, error) {
	var doc struct {
		Data    json.RawMessage `json:"data"`
		Version struct {
			Max scalar `json:"max"`
		} `json:"version"`
	}
	if err := object(body, &doc); err != nil {
		return page{}, err
	}
	list, err := array(doc.Data)
	if err != nil || len(list) == 0 {
		return page{}, err
	}
	top, err := strconv.ParseUint(string(doc.Version.Max), 10, 64)
	if err != nil {
		return page{}, errShape
	}
	// Versions grow; one that does not leads back.
	if after, err := strconv.ParseUint(q.Get("after"), 10, 64); err == nil && top <= after {
		return page{}, ErrPagesRepeat
	}
	return page{entries: list, next: with(q, "after", strconv.FormatUint(top, 10))}, nil
}

// bare reports whether JSON is an array.
func bare(b []byte) bool { return bytes.HasPrefix(bytes.Trim(b, whiteSpace), []byte("[")) }

// array takes an array apart. Absent and null are an empty one.
func array(b []byte) ([][]byte, error) {
	b = bytes.Trim(b, whiteSpace)
	if len(b) == 0 || string(b) == "null" {
		return nil, nil
	}
	var list []json.RawMessage
	if b[0] != '[' || json.Unmarshal(b, &list) != nil {
		return nil, errShape
	}
	return raw(list), nil
}

// onlyList is the one array among the members of an object. Absent is empty;
// two are not a list anybody documents.
func onlyList(b []byte) ([][]byte, error) {
	if b = bytes.Trim(b, whiteSpace); len(b) == 0 || string(b) == "null" {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if err := object(b, &members); err != nil {
		return nil, err
	}
	var found []byte
	for _, m := range members {
		if !bare(m) {
			continue
		}
		if found != nil {
			return nil, errShape
		}
		found = m
	}
	return array(found)
}

func raw(list []json.RawMessage) [][]byte {
	all := make([][]byte, len(list))
	for i, e := range list {
		all[i] = e
	}
	return all
}
