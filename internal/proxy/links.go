package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxRewrite is the longest answer that is read as a whole to rewrite its links.
// Longer ones are passed on as they come.
const maxRewrite = 8 << 20

// dialect is how a provider's JSON links from one page to the next.
type dialect int

const (
	plain      dialect = iota // no links that are known
	attributes                // R-Series: {"@attributes":{"next":"URL"}}
	hal                       // K-Series: {"_links":{"next":{"href":"URL"}}}, "links" too
)

// dialectOf returns the dialect of an app's provider.
func (p *Proxy) dialectOf(app string) dialect {
	a := p.apps[app]
	switch {
	case a == nil:
		return plain
	case a.Recipe.Name == "lightspeed-r":
		return attributes
	case strings.HasPrefix(a.Recipe.Name, "lightspeed-k"):
		return hal
	}
	return plain
}

// links turns the API's URLs into ours.
type links struct {
	base   *url.URL
	target *target
	prefix string // our URL of base
}

// page turns the link to another page of what was asked for into ours: the same
// path with the link's query. The link's own host and path are not believed;
// K-Series links to a host that is no longer its API's.
func (l *links) page(link string) (string, bool) {
	if link == "" {
		return "", false
	}
	u, err := url.Parse(link)
	if err != nil {
		return "", false
	}
	return l.ours(l.target.escaped, u.RawQuery), true
}

// below turns an absolute URL of the API into ours.
func (l *links) below(link string) (string, bool) {
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" || u.User != nil {
		return "", false
	}
	u = l.target.at(l.base).ResolveReference(u)
	if !strings.EqualFold(u.Scheme, l.base.Scheme) || !strings.EqualFold(u.Host, l.base.Host) {
		return "", false
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), strings.TrimRight(l.base.EscapedPath(), "/"))
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	if _, err := readPath(rest); err != nil {
		return "", false
	}
	ours := l.ours(rest, u.RawQuery)
	if u.Fragment != "" {
		ours += "#" + u.EscapedFragment()
	}
	return ours, true
}

// ours is our URL of a path below the API's base.
func (l *links) ours(escaped, query string) string {
	if l.target.sticky {
		if query != "" {
			query += "&"
		}
		query += locationParam + "=" + url.QueryEscape(l.target.location)
	}
	if query != "" {
		query = "?" + query
	}
	return l.prefix + escaped + query
}

// header rewrites the headers that link: Location, Content-Location and Link (RFC
// 8288). What leads away from the API stays as it is.
func (l *links) header(h http.Header) {
	for _, name := range []string{"Location", "Content-Location"} {
		if v := h.Get(name); v != "" {
			if ours, ok := l.below(v); ok {
				h.Set(name, ours)
			}
		}
	}
	for i, v := range h["Link"] {
		h["Link"][i] = l.linkHeader(v)
	}
}

// linkHeader rewrites the URLs between angle brackets.
func (l *links) linkHeader(v string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(v, "<")
		link, after, closed := strings.Cut(rest, ">")
		if !ok || !closed {
			b.WriteString(v)
			return b.String()
		}
		if ours, ok := l.below(link); ok {
			link = ours
		}
		b.WriteString(before + "<" + link + ">")
		v = after
	}
}

// body rewrites the links of a JSON answer, if it is short enough to be read.
func (l *links) body(res *http.Response, d dialect) error {
	if res.ContentLength > maxRewrite {
		return nil
	}
	whole, err := io.ReadAll(io.LimitReader(res.Body, maxRewrite+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(whole) > maxRewrite {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(whole), res.Body), res.Body}
		return nil
	}
	res.Body.Close()
	if now := l.rewrite(whole, d); len(now) != len(whole) || !bytes.Equal(now, whole) {
		whole = now
		for _, name := range []string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
			res.Header.Del(name)
		}
	}
	res.Body = io.NopCloser(bytes.NewReader(whole))
	res.ContentLength = int64(len(whole))
	res.Header.Set("Content-Length", strconv.Itoa(len(whole)))
	return nil
}

// edit is a part of a document and what takes its place.
type edit struct {
	start, end int
	text       []byte
}

// rewrite returns a JSON document with its links rewritten and every other byte
// as it was. What is not a JSON object stays as it is.
func (l *links) rewrite(doc []byte, d dialect) []byte {
	var edits []edit
	replace := func(start, end int, turn func(string) (string, bool)) {
		var link string
		if json.Unmarshal(doc[start:end], &link) != nil {
			return
		}
		if ours, ok := turn(link); ok {
			edits = append(edits, edit{start, end, quote(ours)})
		}
	}
	err := members(doc, 0, len(doc), func(name string, start, end int) error {
		switch {
		case d == attributes && name == "@attributes":
			return members(doc, start, end, func(name string, start, end int) error {
				if name == "next" || name == "previous" {
					replace(start, end, l.page)
				}
				return nil
			})
		case d == hal && (name == "_links" || name == "links"):
			return members(doc, start, end, func(name string, start, end int) error {
				turn := l.below
				if slices.Contains(pageRelations(), name) {
					turn = l.page
				}
				replace(start, end, turn)
				return members(doc, start, end, func(name string, start, end int) error {
					if name == "href" {
						replace(start, end, turn)
					}
					return nil
				})
			})
		}
		return nil
	})
	if err != nil || len(edits) == 0 {
		return doc
	}
	var b bytes.Buffer
	from := 0
	for _, e := range edits {
		b.Write(doc[from:e.start])
		b.Write(e.text)
		from = e.end
	}
	b.Write(doc[from:])
	return b.Bytes()
}

// pageRelations are the links that lead to the same list again.
func pageRelations() []string {
	return []string{"self", "first", "prev", "previous", "next", "last", "nextPage", "prevPage", "previousPage"}
}

// members calls f for every member of the JSON object at doc[start:end] with the
// place of its value. A value that is no object has none.
func members(doc []byte, start, end int, f func(name string, start, end int) error) error {
	d := json.NewDecoder(bytes.NewReader(doc[start:end]))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return err
	}
	var value json.RawMessage
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		if err := d.Decode(&value); err != nil {
			return err
		}
		last := start + int(d.InputOffset())
		text, _ := name.(string)
		if err := f(text, last-len(value), last); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// quote encodes a string as JSON, with its slashes and ampersands as they are.
func quote(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return []byte(`""`) // a string always encodes
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
