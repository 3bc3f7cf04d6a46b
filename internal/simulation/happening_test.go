package simulation

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
)

// happen makes one thing happen.
func (w *world) happen() {
	switch p := w.dice.IntN(100); {
	case p < 30:
		s := w.skies[w.dice.IntN(len(w.skies))]
		s.set(weather(1 + w.dice.IntN(int(weathers)-1)))
		most := 90 * time.Second
		if w.dice.IntN(8) == 0 {
			most = w.life / 4 // longer than what is left of tokens that are due, so that some end
		}
		time.Sleep(w.moment(time.Second, most))
		s.set(fair)
	case p < 40:
		w.outage(w.moment(time.Second, time.Minute))
	case p < 45:
		w.restart(w.stop)
	case p < 70:
		if c := w.underway(); c != nil {
			w.turn++ // in turn, so that every run has them all
			w.interrupt(c, w.turn%interruptions)
		}
	case p < 80:
		w.connect(w.any())
	case p < 85:
		w.disconnect(w.any())
	case p < 90:
		c := w.any()
		c.v.Kill(c.name(c.consent))
	default: // some of those who lost their grant come back
		for _, c := range w.all {
			if got, err := w.Connection(w.t.Context(), c.ref); err == nil && !got.Status.State.Live() && w.dice.IntN(3) == 0 {
				w.connect(c)
			}
		}
	}
}

// outage has the store fail for a while.
func (w *world) outage(d time.Duration) {
	w.disk.set(true)
	time.Sleep(d)
	w.disk.set(false)
}

// underway waits for a request and returns whose it is, nil if none comes.
func (w *world) underway() *customer {
	came := make(chan string, len(w.skies))
	for _, s := range w.skies {
		s.watch(func(name string) { came <- name })
		defer s.watch(nil)
	}
	select {
	case name := <-came:
		key, _, _ := strings.Cut(name, "#")
		return w.byKey[key]
	case <-time.After(time.Hour):
		return nil
	}
}

// The interruptions.
const (
	dies = iota
	diesAgain
	diesUncommitted
	fails
	approves
	comesBack
	storms
	asks
	interruptions
)

// interruptionNames are those of the figures.
var interruptionNames = [interruptions]string{
	dies: "kill", diesAgain: "kill", diesUncommitted: "kill with the store down", fails: "store down", approves: "consent",
	comesBack: "disconnect and consent", storms: "50 rejections", asks: "calls",
}

// interrupt makes something happen while a request of the customer is, or was a
// moment ago, under way.
func (w *world) interrupt(c *customer, how int) {
	w.got.Interrupted.count(interruptionNames[how], 1)
	if how != asks {
		time.Sleep(w.moment(0, 900*time.Millisecond))
	}
	switch how {
	case dies, diesAgain:
		w.restart(w.kill)
	case diesUncommitted:
		w.disk.set(true)
		time.Sleep(w.moment(0, 3*time.Second))
		w.restart(func() { w.kill(); w.disk.set(false) })
	case fails:
		w.outage(w.moment(0, time.Minute))
	case approves:
		w.connect(c)
	case comesBack:
		w.disconnect(c)
		w.connect(c)
	case storms:
		w.storm(c)
	}
	if how == asks || how == approves || how == comesBack { // until well after the answer
		for range 60 {
			w.ask(c, handout)
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// storm has many callers report at once that a connection's token was refused:
// however the requests fare, one token is renewed once.
func (w *world) storm(c *customer) {
	h, err := w.Handout(w.t.Context(), c.ref, evergrant.TokenOptions{})
	if err != nil {
		return
	}
	before := len(c.v.Sends())
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			w.ask(c, func(ctx context.Context, m *manager.Manager, ref grant.Ref) (*manager.Handout, error) {
				return m.RejectHandout(ctx, ref, h.Token.Fingerprint)
			})
		})
	}
	callers.Wait()
	n := 0
	for _, x := range c.v.Sends()[before:] {
		if x.Grant == c.name(c.consent) && x.Outcome == "rotated" && !cutOff(c.v, x, w.kills) {
			n++
		}
	}
	if n > 1 {
		w.j.object("I11", "50 rejections of one token of %s renewed it %d times", c.ref, n)
	}
}
