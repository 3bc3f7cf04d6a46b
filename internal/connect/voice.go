package connect

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// with fills facts in: pairs of a name in braces and what is there instead. What
// is filled in is not looked at again, so braces in a business's name are safe.
func (p phrase) with(facts ...string) string { return strings.NewReplacer(facts...).Replace(string(p)) }

// voice speaks one language and knows the facts of one visit.
type voice struct {
	*words
	facts []string // pairs
}

// voice returns who speaks to a visitor. Of a link or an app that is not known,
// what the language calls them is said.
func (s *Service) voice(v visit) voice {
	w := v.words
	if w == nil {
		w = s.words[english]
	}
	u := w.Unnamed
	name := strings.TrimSpace(v.link.BusinessName)
	dative := cmp.Or(name, u.BusinessDative)
	name = cmp.Or(name, u.Business)

	login, loginDative := u.Provider, u.ProviderDative
	// A recipe without a name of its own says so in English.
	if v.app != nil && v.app.Recipe.Login != "" && v.app.Recipe.Login != s.words[english].Unnamed.Provider {
		login, loginDative = v.app.Recipe.Login, v.app.Recipe.Login
	}
	return voice{w, []string{
		"{brand}", s.brand.Name, "{name}", name, "{Name}", capital(name), "{name.dative}", dative,
		"{login}", login, "{Login}", capital(login), "{login.dative}", loginDative,
		"{since}", w.day(v.conn.Status.Since), "{expires}", w.day(v.link.ExpiresAt), "{completed}", w.day(v.link.CompletedAt),
		"{code}", v.link.ShortCode, "{mail}", s.brand.SupportEmail, "{phone}", s.brand.SupportPhone,
	}}
}

// say returns what a phrase says here. More facts come as pairs.
func (o voice) say(p phrase, more ...string) string { return p.with(append(more, o.facts...)...) }

func (o voice) sayAll(ps []phrase) []string {
	var said []string
	for _, p := range ps {
		said = append(said, o.say(p))
	}
	return said
}

// page begins a page with a block.
func (o voice) page(b block) page {
	return page{words: o.words, Heading: o.say(b.Heading), Lead: o.sayAll(b.Lead)}
}

// help says how to reach the developer's support, nothing if it cannot be
// reached.
func (s *Service) help(w *words) phrase {
	switch mail, phone := s.brand.SupportEmail, s.brand.SupportPhone; {
	case mail != "" && phone != "":
		return w.Labels.WriteOrCall
	case mail != "":
		return w.Labels.Write
	case phone != "":
		return w.Labels.Call
	}
	return ""
}

// reach is a piece of the line that says how to reach support: text, an address
// or a number.
type reach struct{ Text, Mail, Phone string }

// reachable cuts the line into text and what can be tapped.
func (s *Service) reachable(w *words) []reach {
	var parts []reach
	rest := string(s.help(w))
	for rest != "" {
		text, fact, ok := strings.Cut(rest, "{")
		if text != "" {
			parts = append(parts, reach{Text: text})
		}
		if !ok {
			break
		}
		fact, rest, _ = strings.Cut(fact, "}")
		switch fact {
		case "mail":
			parts = append(parts, reach{Mail: s.brand.SupportEmail})
		case "phone":
			parts = append(parts, reach{Phone: s.brand.SupportPhone})
		}
	}
	return parts
}

// capital returns s with a capital first letter, for the start of a sentence.
func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + s[size:]
}
