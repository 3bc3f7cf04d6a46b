package connect

import (
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

// message returns a mail to the merchant, ready to send. missing are the locations
// that an additional login is asked for.
func (s *Service) message(l grant.Link, app *provider.App, url string, missing []coverage.Location) (subject, text string) {
	login, brand := app.Recipe.Login, s.brand.Name
	name := businessName(l)
	var what string
	switch l.Purpose {
	case grant.PurposeReconnect:
		subject = fmt.Sprintf("%s: please reconnect %s to %s", capital(name), login, brand)
		what = fmt.Sprintf("%s has to renew its access to %s for %s. Your settings and history are kept.", brand, login, name)
	case grant.PurposeAddGrant:
		subject = fmt.Sprintf("%s: one more login for %s", capital(name), brand)
		what = fmt.Sprintf("%s does not see every location of %s yet. Please let somebody who can see them in %s open this link.", brand, name, login)
		if len(missing) > 0 {
			what = fmt.Sprintf("%s does not see these locations of %s yet:\n\n- %s\n\nPlease let somebody who can see them in %s open this link.",
				brand, name, strings.Join(labels(missing), "\n- "), login)
		}
	default:
		subject = fmt.Sprintf("%s: please connect %s to %s", capital(name), login, brand)
		what = fmt.Sprintf("Please connect the account of %s at %s to %s.", name, login, brand)
	}

	var b strings.Builder
	fmt.Fprintf(&b, "Hello,\n\n%s It takes about a minute:\n\n%s\n\n", what, url)
	who := "the owner's or a manager's login"
	if len(missing) > 0 {
		who = "a login that sees them"
	}
	fmt.Fprintf(&b, "Use %s. %s never sees your password.\n", who, brand)
	fmt.Fprintf(&b, "The link works until %s and is only for you.\n", day(l.ExpiresAt))
	if help := s.help(); help != "" {
		fmt.Fprintf(&b, "\nQuestions? %s Your code is %s.\n", help, l.ShortCode)
	}
	return subject, b.String()
}

// help says how to reach the developer's support, "" if it cannot be reached.
func (s *Service) help() string {
	switch mail, phone := s.brand.SupportEmail, s.brand.SupportPhone; {
	case mail != "" && phone != "":
		return fmt.Sprintf("Write to %s or call %s.", mail, phone)
	case mail != "":
		return fmt.Sprintf("Write to %s.", mail)
	case phone != "":
		return fmt.Sprintf("Call %s.", phone)
	}
	return ""
}
