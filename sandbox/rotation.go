package sandbox

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// rotation is what the provider does with a refresh token that was used.
type rotation string

const (
	static      rotation = "static"        // the same one again
	lenient     rotation = "lenient"       // a new one; the old stays good for a long window
	grace       rotation = "grace"         // a new one; the old stays good for a short window after its first use
	retireOnUse rotation = "retire_on_use" // the old one is good until what it was exchanged for is first used
	strict      rotation = "strict"        // single use; reuse is refused and harms nothing else
	familyKill  rotation = "family_kill"   // single use; reuse ends the grant. Keycloak with a reuse count of 0
)

func rotations() []rotation {
	return []rotation{static, lenient, grace, retireOnUse, strict, familyKill}
}

func parseRotation(s string) (rotation, error) {
	var names []string
	for _, r := range rotations() {
		if string(r) == s {
			return r, nil
		}
		names = append(names, string(r))
	}
	return "", fmt.Errorf("rotation: %q is not one of %s", clip(s), strings.Join(names, ", "))
}

// acceptsAgain reports whether t, which was used before, may be used once more.
func (g *grant) acceptsAgain(t *token, now time.Time) bool {
	window := g.client.window
	switch g.rotation() {
	case static:
		return true
	case lenient:
		if window == 0 {
			window = 24 * time.Hour
		}
	case grace:
		if window == 0 {
			window = 30 * time.Second
		}
	case retireOnUse:
		if t.retired {
			return false
		}
		if window == 0 {
			return true
		}
	default:
		return false
	}
	return !now.After(t.spent.Add(window))
}

// token is an access or a refresh token that was issued.
type token struct {
	refresh bool
	key     tokenKey
	value   string // only of the newest of its grant
	print   string
	grant   *grant
	scope   []string
	issued  time.Time
	expires time.Time

	spent    time.Time // a refresh token's first use
	hiddenBy string    // the fault that kept the answer to its use from arriving
	retired  bool      // what it was exchanged for was used (retire_on_use)
	from     *token    // the refresh token it was exchanged for, until that is retired
	mate     *token    // the access token a refresh token came with
	ended    bool      // an access token that did not live out its time
}

func (t *token) live(now time.Time) bool {
	return t.grant.death == "" && now.Before(t.expires)
}

// outlives reports whether t, which may be nil, is live until then.
func (t *token) outlives(then time.Time) bool { return t != nil && t.live(then) }

// end ends an access token before its time.
func (t *token) end(now time.Time) {
	if now.Before(t.expires) {
		t.ended, t.expires = true, now
	}
}

// firstUse retires the refresh tokens behind t and, where the series retires
// pairs, the access tokens that came with them.
func (t *token) firstUse(now time.Time) {
	if t.from == nil {
		return
	}
	for p := t.from; p != nil; {
		p.retired = true
		p, p.from = p.from, nil
	}
	t.from = nil
	if !t.grant.client.series.oldAccessRetires {
		return
	}
	newest := t
	if t.refresh {
		newest = t.mate
	}
	t.grant.endAccess(now, newest)
}

// endAccess ends the access tokens issued before newest, all of them if that is
// nil.
func (g *grant) endAccess(now time.Time, newest *token) {
	for _, t := range g.issued {
		if t == newest {
			return
		}
		t.end(now)
	}
}

// keptSpent is how many used refresh tokens of one grant are remembered.
const keptSpent = 1000

// spend marks a refresh token used, once.
func (w *world) spend(t *token, now time.Time) {
	if !t.spent.IsZero() {
		return
	}
	t.spent = now
	t.value = ""
	g := t.grant
	g.spent = append(g.spent, t)
	if len(g.spent) > keptSpent {
		delete(w.tokens, g.spent[0].key)
		g.spent = g.spent[1:]
	}
}

// register makes an issued token known.
func (w *world) register(t *token) {
	t.key, t.print = keyOf(t.value), fingerprint(t.value)
	w.tokens[t.key] = t
}

// forgetExpired drops access tokens of g that have been expired for a while.
func (w *world) forgetExpired(g *grant, now time.Time) {
	kept := g.issued[:0]
	for _, t := range g.issued {
		if now.Sub(t.expires) > time.Minute {
			delete(w.tokens, t.key)
			continue
		}
		kept = append(kept, t)
	}
	clear(g.issued[len(kept):])
	g.issued = kept
}

func (w *world) codeLife(sr *series) time.Duration {
	return cmp.Or(w.lifeOf[sr.name].code, w.life.code, sr.code)
}

// accessLife is how long access tokens live; g is nil for those of no grant yet.
func (w *world) accessLife(sr *series, g *grant) time.Duration {
	own := sr.access
	if g != nil && g.old {
		own = oldServerAccess
	}
	return cmp.Or(w.lifeOf[sr.name].access, w.life.access, own)
}

func (w *world) refreshLife(sr *series, offline bool) time.Duration {
	own := sr.refreshOnline
	if offline {
		own = sr.refreshOffline
	}
	return cmp.Or(w.lifeOf[sr.name].refresh, w.life.refresh, own)
}
