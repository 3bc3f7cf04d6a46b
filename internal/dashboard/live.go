package dashboard

import (
	"fmt"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/access"
)

// Bounds of a stream of news.
const (
	newsAfter = countsFresh      // what happened, and at least between two pieces of news
	newsAlive = 20 * time.Second // a sign of life, so that nothing on the way gives up
	newsLasts = 10 * time.Minute // then the browser asks again, and who it is is looked at again
)

// follow tells a browser that something happened, never what: it asks for its
// page again then. Server-sent events, as HTML has them.
func (d *Dashboard) follow() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header())
		if who, ok := d.c.Who(r); !ok || !who.Role.May(access.Viewer) {
			http.Error(w, "Log in first.", http.StatusForbidden)
			return
		}
		if !r.URL.Query().Has("wait") { // by which a server that stops knows whom to end
			http.Error(w, "Ask for live?wait=1.", http.StatusBadRequest)
			return
		}
		if d.c.Grown == nil {
			w.WriteHeader(http.StatusNoContent) // the browser does not ask again
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no")
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Time{}) // the request is read; what comes after is silence
		say := func(text string) bool {
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second)) // not every writer has one
			_, err := fmt.Fprint(w, text)
			return err == nil && c.Flush() == nil
		}
		end := time.NewTimer(newsLasts)
		defer end.Stop()
		grown := d.c.Grown()
		if !say("retry: 3000\n\n") {
			return
		}
		for {
			alive := time.NewTimer(newsAlive)
			select {
			case <-r.Context().Done():
			case <-end.C:
			case <-alive.C:
				if say(": here\n\n") {
					continue
				}
			case <-grown:
				// What comes at once is one piece of news, and by then nothing that was
				// counted before is shown any more.
				if rest(r, newsAfter) {
					grown = d.c.Grown()
					if say("data: changed\n\n") {
						alive.Stop()
						continue
					}
				}
			}
			alive.Stop()
			return
		}
	})
}

// rest waits, unless the browser leaves.
func rest(r *http.Request, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-timer.C:
		return true
	}
}
