package connect

import (
	"strings"

	"github.com/evergrant/evergrant/internal/coverage"
	"github.com/evergrant/evergrant/internal/grant"
)

// message returns a mail to the merchant, ready to send. missing are the locations
// that an additional login is asked for.
func (s *Service) message(v visit, url string, missing []coverage.Location) (subject, text string) {
	o := s.voice(v)
	t := o.Message
	who := t.Who
	var what string
	switch v.link.Purpose {
	case grant.PurposeReconnect:
		subject, what = o.say(t.ReconnectSubject), o.say(t.Reconnect)
	case grant.PurposeAddGrant:
		subject, what = o.say(t.AddGrantSubject), o.say(t.AddGrant)
		if len(missing) > 0 {
			what = o.say(t.Missing) + "\n\n- " + strings.Join(o.labels(missing), "\n- ") + "\n\n" + o.say(t.WhoOpens)
			who = t.WhoMissing
		}
	default:
		subject, what = o.say(t.ConnectSubject), o.say(t.Connect)
	}
	text = o.say(t.Hello) + "\n\n" + what + " " + o.say(t.Minute) + "\n\n" + url + "\n\n" + o.say(who) + "\n" + o.say(t.Until) + "\n"
	if help := s.help(o.words); help != "" {
		text += "\n" + o.say(o.Labels.Questions) + " " + o.say(help) + " " + o.say(t.Code) + "\n"
	}
	return subject, text
}
