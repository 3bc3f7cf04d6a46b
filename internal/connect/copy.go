package connect

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

// landingPage asks the merchant to go to the provider. missing are the locations
// that an additional login is asked for.
func (s *Service) landingPage(v visit, ep provider.Endpoints, missing []coverage.Location) answer {
	name, brand, login := businessName(v.link), s.brand.Name, v.app.Recipe.Login
	p := page{
		Code:      v.link.ShortCode,
		Lists:     []list{{fmt.Sprintf("%s asks to:", brand), permissions(v.app)}},
		NoteTitle: "Use the owner’s or a manager’s login.",
		Note: fmt.Sprintf("The connection covers the locations that person can see, and ends if their account at %s is closed.",
			login),
		Button: s.again(v, "Continue to "+login),
		Foot: []string{
			fmt.Sprintf("You will go to %s. %s never sees your password.", host(ep.Authorize), brand),
			"Not your business? Then close this page; nothing happens.",
		},
	}
	switch v.link.Purpose {
	case grant.PurposeReconnect:
		p.Heading = fmt.Sprintf("Reconnect %s", name)
		p.Lead = []string{fmt.Sprintf("Logging in to %s once more renews the connection to %s. Your settings and history are kept.", login, brand)}
		if v.conn.Status.State == grant.NeedsReauthorization {
			p.Lead = []string{fmt.Sprintf("%s stopped accepting our access on %s. Logging in again fixes it. Your settings and history are kept.",
				capital(login), day(v.conn.Status.Since))}
		}
	case grant.PurposeAddGrant:
		p.Heading = fmt.Sprintf("Add a login for %s", name)
		p.Lead = []string{fmt.Sprintf("%s does not reach every location of %s yet. Log in to %s as somebody who can see the missing ones. What is connected already stays connected.",
			brand, name, login)}
		if len(missing) > 0 {
			p.NoteTitle = "Log in as somebody who can see these locations."
			p.Note = fmt.Sprintf("A login that cannot see them in %s does not bring them along.", login)
			p.Lists = slices.Insert(p.Lists, 0, list{"Still missing:", labels(missing)})
		}
	default:
		p.Heading = fmt.Sprintf("Connect %s to %s", name, brand)
		p.Lead = []string{fmt.Sprintf("You will log in to %s and agree to share data with %s. It takes about a minute.", login, brand)}
	}
	return answer{status: http.StatusOK, page: p}
}

// mostNamed is how many locations are named in one list.
const mostNamed = 20

// donePage says that the connection stands and what it reaches, and which of the
// locations it should reach are still missing.
func (s *Service) donePage(v visit, grants []grant.Grant, c coverage.Coverage) answer {
	brand, login := s.brand.Name, v.app.Recipe.Login
	p := page{
		Mark: "done", Code: v.link.ShortCode,
		Heading: fmt.Sprintf("%s is connected", capital(businessName(v.link))),
		Lead:    []string{fmt.Sprintf("%s can now work with %s. There is nothing more to do.", brand, login)},
		Button:  s.back(v),
		Foot:    []string{"You can close this page."},
	}
	connected := list{Title: "Connected locations:", Items: labels(slices.DeleteFunc(slices.Clone(c.Locations),
		func(l coverage.Location) bool { return len(l.Grants) == 0 }))}
	if who := partyName(grants); who != "" {
		connected.Title = fmt.Sprintf("Connected locations of %s:", who)
	}
	p.Lists = []list{connected}
	switch missing := c.Missing(wanted(v.link)); {
	case len(missing) > 0:
		p.Lead = []string{fmt.Sprintf("%s can now work with %s, but not yet with every location.", brand, login)}
		p.Lists = append(p.Lists, list{"Still missing:", labels(missing)})
		p.Foot = append(p.Foot, fmt.Sprintf(
			"Nobody who has connected can see what is missing in %s. Ask %s for a link for somebody who can, or let them change your access in %s.",
			login, brand, login))
	case len(connected.Items) > 0:
		p.Foot = append(p.Foot, fmt.Sprintf(
			"Is a location missing? Ask %s for a link for somebody who can see it, or let them change your access in %s.", brand, login))
	}
	if slices.Contains(v.conn.Flags, grant.ScopeMissing) {
		p.NoteTitle = "A permission is missing."
		p.Note = fmt.Sprintf("%s was not given everything it asked for, so a part of it may not work. %s can send you a link to try again.",
			brand, brand)
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
func labels(locations []coverage.Location) []string {
	var names []string
	for _, l := range locations {
		l.Name = strings.TrimSpace(l.Name)
		names = append(names, l.Label())
	}
	slices.Sort(names)
	if more := len(names) - mostNamed; more > 1 {
		names = append(names[:mostNamed], fmt.Sprintf("and %d more", more))
	}
	return names
}

// alreadyPage answers a link that is used up.
func (s *Service) alreadyPage(v visit) answer {
	p := page{
		Mark: "done", Heading: "Already connected", Code: v.link.ShortCode,
		Lead:   []string{fmt.Sprintf("%s was connected with this link on %s. There is nothing more to do.", capital(businessName(v.link)), day(v.link.CompletedAt))},
		Button: s.back(v),
	}
	if !v.conn.Status.State.Live() {
		p.Mark, p.Heading = "problem", "This link has been used"
		p.Lead = []string{
			fmt.Sprintf("%s was connected with this link on %s, and the connection has ended since.", capital(businessName(v.link)), day(v.link.CompletedAt)),
			fmt.Sprintf("Ask %s for a new link to connect again.", s.brand.Name),
		}
	}
	return answer{status: http.StatusOK, page: p}
}

// helpPage thanks for asking.
func (s *Service) helpPage(v visit) answer {
	return answer{status: http.StatusOK, page: page{
		Mark: "done", Heading: "We have passed it on", Code: v.link.ShortCode,
		Lead:   []string{fmt.Sprintf("%s knows that you need a new link.", s.brand.Name)},
		Button: s.back(v),
	}}
}

// problemCopy says what happened, whether anything is lost, and what to do now.
func (s *Service) problemCopy(v visit, problem grant.Problem) page {
	brand, login, name := s.brand.Name, "the provider", businessName(v.link)
	if v.app != nil {
		login = v.app.Recipe.Login
	}
	switch problem {
	case grant.ProblemDeclined:
		return page{
			Heading: "You chose not to connect",
			Lead:    []string{fmt.Sprintf("Nothing was changed, and %s sees none of your data.", brand), "If that was by mistake, try again. Your link still works."},
			Button:  s.again(v, "Try again"),
		}
	case grant.ProblemLinkExpired:
		return page{
			Heading: "This link is too old",
			Lead:    []string{fmt.Sprintf("It worked until %s. Nothing is lost; you only need a new link.", day(v.link.ExpiresAt))},
			Button:  button{Label: "Ask for a new link", URL: s.linkURL(v.token.Reveal(), "help"), Post: true},
		}
	case grant.ProblemLinkRevoked:
		return page{
			Heading: "This link is no longer in use",
			Lead: []string{
				fmt.Sprintf("%s has taken it back, perhaps because there is a newer one. Look for a newer message with a link.", brand),
				fmt.Sprintf("If there is none, ask %s for one.", brand),
			},
		}
	case grant.ProblemLinkUnknown:
		return page{
			Heading: "This link does not work",
			Lead: []string{
				"Please check that the whole link was copied, or open it again from the message it came in.",
				fmt.Sprintf("If it still does not work, ask %s for a new one.", brand),
			},
		}
	case grant.ProblemOtherIdentity:
		return page{
			Heading: "That login belongs to another business",
			Lead: []string{
				fmt.Sprintf("This link is for %s, and the login you used at %s is for a different business.", name, login),
				"Nothing was changed.",
				fmt.Sprintf("Log out of %s first, then try again with a login of %s.", login, name),
			},
			Button: s.again(v, "Use another login"),
		}
	case grant.ProblemScopeMissing:
		return page{
			Heading: "A permission is missing",
			Lead:    []string{fmt.Sprintf("%s needs everything it asks for to work, and %s did not grant it all. Nothing was changed.", brand, login)},
			Button:  s.again(v, "Try again"),
		}
	case grant.ProblemProviderUnavailable:
		return page{
			Heading: fmt.Sprintf("%s is not answering", capital(login)),
			Lead:    []string{"Nothing was changed, and your link stays valid.", "Please try again in a few minutes."},
			Button:  s.again(v, "Try again"),
		}
	case grant.ProblemCodeRejected:
		return page{
			Heading: "That took a little too long",
			Lead:    []string{fmt.Sprintf("%s wants the last step done within seconds, and it was not. Nothing was changed.", capital(login)), "Trying again usually works at once."},
			Button:  s.again(v, "Try again"),
		}
	case grant.ProblemOurFault:
		return page{
			Heading: "We could not save the connection",
			Lead:    []string{"That is our fault, not yours. Your link stays valid.", "Please try again in a few minutes."},
			Button:  s.again(v, "Try again"),
		}
	case grant.ProblemOurSetup:
		return page{
			Heading: fmt.Sprintf("%s has to fix something", brand),
			Lead: []string{
				fmt.Sprintf("%s does not accept %s as it is set up now. You did nothing wrong, and your link stays valid.", capital(login), brand),
				"Please try again later.",
			},
			Button: s.again(v, "Try again"),
		}
	}
	p := page{
		Heading: "Let’s try that once more",
		Lead: []string{
			"You came back in another browser or app than you started in, or after more than 30 minutes. To keep your account safe, this has to be done in one go.",
		},
		Button: s.again(v, "Continue"),
	}
	if v.token.IsZero() {
		p.Lead = append(p.Lead, "Open the link again from the message it came in, and stay in that browser.")
	}
	return p
}
