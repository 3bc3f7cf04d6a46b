package connect

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

// landingPage asks the merchant to go to the provider. missing are the locations
// that an additional login is asked for.
func (s *Service) landingPage(v visit, ep provider.Endpoints, missing []coverage.Location) answer {
	o := s.voice(v)
	t := o.Landing
	start := t.Connect
	switch {
	case v.link.Purpose == grant.PurposeReconnect && v.conn.Status.State == grant.NeedsReauthorization:
		start = t.Reconnect
	case v.link.Purpose == grant.PurposeReconnect:
		start = t.Renew
	case v.link.Purpose == grant.PurposeAddGrant:
		start = t.AddGrant
	}
	p := o.page(start)
	p.Code = v.link.ShortCode
	p.Lists = []list{{o.say(t.Asks), o.permissions(v.app)}}
	p.NoteTitle, p.Note = o.say(t.WhoTitle), o.say(t.Who)
	p.Button = s.again(v, o.say(o.Buttons.ToProvider))
	p.Foot = []string{o.say(t.Destination, "{host}", host(ep.Authorize)), o.say(t.NotYours)}
	if v.link.Purpose == grant.PurposeAddGrant && len(missing) > 0 {
		p.NoteTitle, p.Note = o.say(t.WhoMissingTitle), o.say(t.WhoMissing)
		p.Lists = slices.Insert(p.Lists, 0, list{o.say(o.Labels.StillMissing), items(o.labels(missing))})
	}
	return answer{status: http.StatusOK, page: p}
}

// mostNamed is how many locations are named in one list.
const mostNamed = 20

// donePage says that the connection stands and what it reaches, and which of the
// locations it should reach are still missing.
func (s *Service) donePage(v visit, grants []grant.Grant, c coverage.Coverage) answer {
	o := s.voice(v)
	t := o.Done
	p := page{
		words: o.words, Mark: "done", Code: v.link.ShortCode, Heading: o.say(t.Heading),
		Lead: []string{o.say(t.All)}, Button: s.back(o, v), Foot: []string{o.say(t.Close)},
	}
	connected := list{o.say(t.Locations), items(o.labels(slices.DeleteFunc(slices.Clone(c.Locations),
		func(l coverage.Location) bool { return len(l.Grants) == 0 })))}
	if who := partyName(grants); who != "" {
		connected.Title = o.say(t.LocationsOf, "{party}", who)
	}
	p.Lists = []list{connected}
	switch missing := c.Missing(wanted(v.link)); {
	case len(missing) > 0:
		p.Lead = []string{o.say(t.Some)}
		p.Lists = append(p.Lists, list{o.say(o.Labels.StillMissing), items(o.labels(missing))})
		p.Foot = append(p.Foot, o.say(t.WhoCanAdd))
	case len(connected.Items) > 0:
		p.Foot = append(p.Foot, o.say(t.HowToAdd))
	}
	if slices.Contains(v.conn.Flags, grant.ScopeMissing) {
		if len(p.Lists) == 1 { // nothing else is said to be missing
			p.Lead = []string{o.say(t.Limited)}
		}
		p.NoteTitle, p.Note = o.say(t.ScopeTitle), o.say(t.Scope)
	}
	return answer{status: http.StatusOK, page: p}
}

// partyName is what the provider calls the business that approved last.
func partyName(grants []grant.Grant) string {
	var last grant.Grant
	for _, g := range grants {
		if g.ConsentAt.After(last.ConsentAt) {
			last = g
		}
	}
	return last.Identity.Name
}

// labels lists locations for people, by name.
func (o voice) labels(locations []coverage.Location) []string {
	var names []string
	for _, l := range locations {
		l.Name = strings.TrimSpace(l.Name)
		names = append(names, l.Label())
	}
	slices.Sort(names)
	if more := len(names) - mostNamed; more > 1 {
		names = append(names[:mostNamed], o.say(o.Labels.More, "{more}", strconv.Itoa(more)))
	}
	return names
}

// permissions names what the app asks for, as far as merchants can understand
// it. What a recipe says and nobody has translated stays in English.
func (o voice) permissions(app *provider.App) []item {
	var may []item
	for _, scope := range app.Scopes {
		p := app.Recipe.Permissions[scope]
		switch said := o.Permissions[p]; {
		case p == "":
		case said != "":
			may = append(may, item{Text: said})
		case o.tag == english:
			may = append(may, item{Text: p})
		default:
			may = append(may, item{Text: p, Lang: english})
		}
	}
	return may
}

// alreadyPage answers a link that is used up.
func (s *Service) alreadyPage(v visit) answer {
	o := s.voice(v)
	p := o.page(o.Already)
	p.Mark, p.Code, p.Button = "done", v.link.ShortCode, s.back(o, v)
	if !v.conn.Status.State.Live() {
		used := o.page(o.Used)
		p.Mark, p.Heading, p.Lead = "problem", used.Heading, used.Lead
	}
	return answer{status: http.StatusOK, page: p}
}

// helpPage thanks for asking.
func (s *Service) helpPage(v visit) answer {
	o := s.voice(v)
	p := o.page(o.HelpAsked)
	p.Mark, p.Code, p.Button = "done", v.link.ShortCode, s.back(o, v)
	return answer{status: http.StatusOK, page: p}
}

// problemCopy says what happened, whether anything is lost, and what to do now.
func (s *Service) problemCopy(v visit, problem grant.Problem) page {
	o := s.voice(v)
	t, again := o.Problems, s.again(v, o.say(o.Buttons.TryAgain))
	var happened block
	switch problem {
	case grant.ProblemDeclined:
		happened = t.Declined
	case grant.ProblemLinkExpired:
		happened = t.Expired
		again = button{Label: o.say(o.Buttons.NewLink), URL: s.linkURL(v.token.Reveal(), "help"), Post: true}
	case grant.ProblemLinkRevoked:
		happened, again = t.Revoked, button{}
	case grant.ProblemLinkUnknown:
		happened, again = t.Unknown, button{}
	case grant.ProblemOtherIdentity:
		happened, again.Label = t.OtherBusiness, o.say(o.Buttons.OtherLogin)
	case grant.ProblemScopeMissing:
		happened = t.ScopeMissing
	case grant.ProblemProviderUnavailable:
		happened = t.Unavailable
	case grant.ProblemCodeRejected:
		happened = t.TooSlow
	case grant.ProblemOurFault:
		happened = t.OurFault
	case grant.ProblemOurSetup:
		happened = t.OurSetup
	default:
		happened, again.Label = t.LostSession, o.say(o.Buttons.CarryOn)
		if v.token.IsZero() {
			happened.Lead = append(slices.Clone(happened.Lead), t.Reopen)
		}
	}
	p := o.page(happened)
	p.Button = again
	return p
}
