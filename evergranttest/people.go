package evergranttest

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"sync"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// people are who has connected what, so that every business has a merchant of its
// own while there are enough.
type people struct {
	mu   sync.Mutex
	next map[string]int // by app
}

// merchants are the sandbox's users, in the order in which they connect.
func merchants(app string) []string {
	switch app {
	case "k-series":
		return []string{
			"anna@cafe-nord.example", "bruno@bistro-soleil.example", "greta@kaffeehaus.example", "ivo@tapas-ivo.example",
			"paola@trattoria-paola.example", "finn@fjord-kitchen.example", "olivia@harbour-group.example",
		}
	case "r-series":
		return []string{"ingrid@velo-nord.example", "pedro@pedal-shop.example"}
	case "x-series":
		return []string{"sara@fjord-wear.example", "tom@corner-books.example"}
	}
	return nil
}

// pick returns the next merchant of an app.
func (p *people) pick(app string) (string, error) {
	all := merchants(app)
	if len(all) == 0 {
		return "", fmt.Errorf("there is no app %q; there are k-series, r-series and x-series", app)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = make(map[string]int)
	}
	i := p.next[app]
	p.next[app]++
	return all[i%len(all)], nil
}

// Connect connects a business as in life: a link is made, and one of the sandbox's
// users follows it, logs in and approves. A connection that has ended is connected
// again. It returns the connection.
func (e *Engine) Connect(ref evergrant.Ref) client.Connection {
	e.t.Helper()
	_, app, _ := strings.Cut(string(ref), "@")
	email, err := e.people.pick(app)
	if err != nil {
		e.t.Fatalf("evergranttest: connect %s: %v", ref, err)
	}
	return e.ConnectAs(ref, email)
}

// ConnectAs is Connect by the user with that e-mail address; see
// [sandbox.DemoUsers] and [sandbox.Sandbox.AddUser].
func (e *Engine) ConnectAs(ref evergrant.Ref, email string) client.Connection {
	e.t.Helper()
	ctx, c := e.t.Context(), e.Client()
	link, err := c.CreateLink(ctx, client.NewLink{Ref: ref, Purpose: e.purpose(ref)})
	if err != nil {
		e.t.Fatalf("evergranttest: connect %s: %v", ref, err)
	}
	browser := *e.browser
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		e.t.Fatal(err)
	}
	final, _, err := sandbox.Visit{Client: &browser, Email: email}.Follow(ctx, link.URL)
	if err != nil {
		e.t.Fatalf("evergranttest: connect %s as %s: %v (stopped at %s)", ref, email, err, final)
	}
	if link, err = c.Link(ctx, link.ID); err != nil || link.State != "completed" {
		e.t.Fatalf("evergranttest: connect %s as %s: the link is %s (%s, %v)", ref, email, link.State, link.Problem, err)
	}
	conn, err := c.Connection(ctx, ref)
	if err != nil {
		e.t.Fatal(err)
	}
	return conn
}

// purpose is what a link is to ask for: a further user's approval, if there is one
// that lives.
func (e *Engine) purpose(ref evergrant.Ref) string {
	conn, err := e.Client().Connection(e.t.Context(), ref)
	if err == nil && slices.ContainsFunc(conn.Grants, func(g client.Grant) bool { return g.State == "connected" || g.State == "degraded" }) {
		return "add_grant"
	}
	return ""
}

// newBrowser returns a browser without cookies and with connections of its own.
func newBrowser() *http.Client {
	return &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
}
