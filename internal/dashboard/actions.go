package dashboard

import (
	"errors"
	"log/slog"
	"net/url"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// done is what a page says once something was done. An address has only the name
// of it.
var done = map[string]string{
	"verified":     "The provider’s API took the token of every approval.",
	"refused":      "The provider’s API refuses a token. It will be renewed, or the story below says why not.",
	"unchecked":    "This provider has no call to check with, or gave no usable answer now.",
	"refreshed":    "Renewed.",
	"not-now":      "Not everything was renewed. The story below says why, and it is tried again by itself.",
	"read":         "What it reaches was read again.",
	"disconnected": "Disconnected. The history stays.",
	"revoked":      "The link was taken back.",
	"enabled":      "What waited for it is delivered now.",
	"key-revoked":  "The key works no more.",
}

// back leads to a connection's page after something was done.
func back(ref, what string) answer { return goTo(refPath(ref) + "?done=" + what) }

// message is a finished message to a merchant, with the link in it.
type message struct {
	Ref, Called   string
	Link          client.Link
	Subject, Text string
	Mail          string // a mailto: address
	Locale        string
}

// makeLink makes a link and shows the message with it. The link is shown this
// once, so it is an answer and not a page of its own: a reload would make another.
func (d *Dashboard) makeLink(v *visit) answer {
	ref := v.ref()
	c, err := d.c.API.Connection(v.Context(), ref)
	if err != nil {
		return failed(err)
	}
	locale := formLocale(v)
	l, err := d.c.API.CreateLink(v.Context(), client.NewLink{Ref: ref, Locale: locale, Purpose: purpose(v)})
	if err != nil {
		return failed(err)
	}
	d.did(v, "made a link", slog.String("ref", c.Ref), slog.String("link", l.ID))
	m := message{Ref: c.Ref, Called: d.rowOf(c).Called(), Link: l, Locale: locale}
	if l.Message != nil {
		m.Subject, m.Text = l.Message.Subject, l.Message.Text
	}
	m.Mail = "mailto:?subject=" + mailEscape(m.Subject) + "&body=" + mailEscape(m.Text)
	return show("linkmade", "A message for "+m.Called, m)
}

// mailEscape escapes a text for a mailto: address (RFC 6068).
func mailEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// purpose asks for a further user's approval only if the form says so.
func purpose(v *visit) string {
	if v.PostFormValue("purpose") == "add_grant" {
		return "add_grant"
	}
	return ""
}

// leaveMessage leads from a message back to its connection.
func (d *Dashboard) leaveMessage(v *visit) answer { return goTo(refPath(string(v.ref()))) }

// revokeLink takes a link back.
func (d *Dashboard) revokeLink(v *visit) answer {
	l, err := d.c.API.RevokeLink(v.Context(), v.PathValue("id"))
	if err != nil {
		return failed(err)
	}
	d.did(v, "took back a link", slog.String("ref", l.Ref), slog.String("link", l.ID))
	if v.PostFormValue("to") == "links" {
		return goTo("/links?done=revoked")
	}
	return back(l.Ref, "revoked")
}

// verify asks the provider's API with every token.
func (d *Dashboard) verify(v *visit) answer {
	found, err := d.c.API.Verify(v.Context(), v.ref())
	if err != nil {
		return failed(err)
	}
	d.did(v, "verified", slog.String("ref", string(v.ref())))
	what := "verified"
	for _, g := range found {
		switch g.Result {
		case "refused":
			what = "refused"
		case "unchecked", "unavailable":
			if what == "verified" {
				what = "unchecked"
			}
		}
	}
	return back(string(v.ref()), what)
}

// refresh renews every live grant.
func (d *Dashboard) refresh(v *visit) answer {
	grants, err := d.c.API.Refresh(v.Context(), v.ref())
	if err != nil && !errors.Is(err, evergrant.ErrTemporary) {
		return failed(err)
	}
	d.did(v, "asked for a renewal", slog.String("ref", string(v.ref())))
	for _, g := range grants {
		if !g.Refreshed {
			err = evergrant.ErrTemporary
		}
	}
	if err != nil {
		return back(string(v.ref()), "not-now")
	}
	return back(string(v.ref()), "refreshed")
}

// readLocations reads again what every live grant reaches.
func (d *Dashboard) readLocations(v *visit) answer {
	if _, err := d.c.API.RefreshLocations(v.Context(), v.ref()); err != nil {
		return failed(err)
	}
	return back(string(v.ref()), "read")
}

// askDisconnect is the page between the button and the deed.
func (d *Dashboard) askDisconnect(v *visit) answer {
	c, err := d.c.API.Connection(v.Context(), v.ref())
	if err != nil {
		return failed(err)
	}
	called := d.rowOf(c).Called()
	return show("confirm", "Disconnect "+called+"?", confirm{
		Lead: []string{"Its tokens are revoked where the provider can do it, and programs get none any more. " +
			"Only its merchant can connect it again. Its history stays."},
		Action: refPath(c.Ref) + "/disconnect", Button: "Disconnect " + called, Danger: true, Back: refPath(c.Ref), Leave: "Leave it connected",
	})
}

// disconnect ends a connection's grants.
func (d *Dashboard) disconnect(v *visit) answer {
	c, err := d.c.API.Disconnect(v.Context(), v.ref())
	if err != nil {
		return failed(err)
	}
	d.did(v, "disconnected", slog.String("ref", c.Ref))
	return back(c.Ref, "disconnected")
}
