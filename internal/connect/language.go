package connect

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// langParam is the query parameter of the switch at the foot of every page. It
// stays in the addresses of a link's pages, and travels through the provider in
// the sealed authorization, so that no cookie is needed for it.
const langParam = "lang"

// chosen returns the language a merchant has picked by hand, "" for none. What a
// provider sends along with a state is its own and not the merchant's.
func (s *Service) chosen(r *http.Request) string {
	q := r.URL.Query()
	if tag := q.Get(langParam); s.words[tag] != nil && !q.Has("state") {
		return tag
	}
	return ""
}

// language decides what to speak: what the merchant picked, else what the link
// was made for, else what the browser asks for, else English.
func (s *Service) language(r *http.Request, locale string) *words {
	return s.speaks(r, s.chosen(r), locale)
}

// speaks is language where what the merchant picked is known otherwise.
func (s *Service) speaks(r *http.Request, chosen, locale string) *words {
	for _, tag := range []string{s.fits(chosen), s.fits(locale), s.accepted(strings.Join(r.Header.Values("Accept-Language"), ","))} {
		if tag != "" {
			return s.words[tag]
		}
	}
	return s.words[english]
}

// fits returns the language of a tag like nl-BE, "" if we do not speak it.
func (s *Service) fits(tag string) string {
	primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
	if s.words[primary] == nil {
		return ""
	}
	return primary
}

// mostAccepted is how many bytes of an Accept-Language header are read.
const mostAccepted = 1024

// accepted returns the language that an Accept-Language header likes best of
// ours, "" if it names none (RFC 9110 section 12.5.4). Of two it likes as much
// the first counts. A "*" names none: what it leaves to us, the caller decides.
func (s *Service) accepted(header string) string {
	if len(header) > mostAccepted {
		header = header[:mostAccepted]
	}
	best, most := "", 0.0
	for element := range strings.SplitSeq(header, ",") {
		tag, weight, weighted := strings.Cut(element, ";")
		q := 1.0
		if weighted {
			q = quality(weight)
		}
		if tag = s.fits(tag); tag != "" && q > most {
			best, most = tag, q
		}
	}
	return best
}

// quality reads "q=0.8"; what it cannot read is worth nothing.
func quality(weight string) float64 {
	name, value, _ := strings.Cut(strings.TrimSpace(weight), "=")
	q, err := strconv.ParseFloat(value, 64)
	if !strings.EqualFold(name, "q") || err != nil || !(q >= 0 && q <= 1) {
		return 0
	}
	return q
}

// inLanguage adds the language picked by hand to an address of ours. Other
// addresses stay as they are.
func (s *Service) inLanguage(address, tag string) string {
	if tag == "" || !strings.HasPrefix(address, s.public+"/connect/") {
		return address
	}
	return address + "?" + url.Values{langParam: {tag}}.Encode()
}

// option is a language of the switch.
type option struct {
	Tag, Name, URL string
	Current        bool
}

// options is the switch of a page at here, "" for the address it was asked at.
func (s *Service) options(here string, current *words) []option {
	var all []option
	for _, tag := range tags() {
		all = append(all, option{tag, s.words[tag].Language, here + "?" + langParam + "=" + tag, tag == current.tag})
	}
	return all
}

// Language is one that merchants' pages and messages speak.
type Language struct{ Tag, Name string }

// Languages returns every language, in the order of the switch at the foot of
// pages.
func Languages() []Language {
	d := mustWords()
	var all []Language
	for _, tag := range tags() {
		all = append(all, Language{tag, d[tag].Language})
	}
	return all
}
