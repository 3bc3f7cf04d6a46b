package refresh

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// burst is how much of a second's rate may go out at once. The way to the provider
	// adds its own unevenness; together they stay below a twentieth.
	burst = 0.02
	// slowest is the least rate that a provider's 429 slows an app down to, a
	// request in ten seconds.
	slowest = 0.1
)

// pacer is an app's rate of token requests: at most what is configured, and less
// while its provider asks for less. Each 429 halves it, and each answer after
// that adds to it, a request per second in every second (AIMD), until it is what
// it was.
type pacer struct {
	whole   rate.Limit // what is configured, for the whole fleet; rate.Inf if nothing is
	most    rate.Limit // this process's part of it
	limiter *rate.Limiter

	mu     sync.Mutex
	slowed time.Time // the last time it was halved; zero if it is not slowed down
	peak   rate.Limit
	second time.Time // begins the second that is counted
	count  [2]int    // requests in the second before it and in it
}

func newPacer(perSecond float64) *pacer {
	most := rate.Inf
	if perSecond > 0 {
		most = rate.Limit(perSecond)
	}
	return &pacer{whole: most, most: most, limiter: rate.NewLimiter(most, burstOf(most))}
}

// burstOf is how many requests may go out at once.
func burstOf(r rate.Limit) int {
	if r == rate.Inf {
		return math.MaxInt
	}
	return max(1, int(float64(r)*burst))
}

// sent counts a request that is about to go out.
func (p *pacer) sent(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roll(now)
	p.count[1]++
}

// roll begins a new second of counting if the present one is over.
func (p *pacer) roll(now time.Time) {
	switch d := now.Sub(p.second); {
	case d >= 2*time.Second || d < 0:
		p.second, p.count = now, [2]int{}
	case d >= time.Second:
		p.second, p.count = p.second.Add(time.Second), [2]int{p.count[1], 0}
	}
}

// throttled takes in that the request sent at the given time was answered with
// 429. Of those that were under way together only the first one counts.
func (p *pacer) throttled(sent, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sent.Before(p.slowed) {
		return
	}
	p.roll(now)
	limit := p.limiter.Limit()
	if limit == rate.Inf {
		limit = rate.Limit(max(p.count[0], p.count[1], 1))
	}
	if p.slowed.IsZero() {
		p.peak = limit
	}
	p.slowed = now
	p.set(max(limit/2, slowest))
}

// answered takes in that a request was answered with something else.
func (p *pacer) answered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slowed.IsZero() {
		return
	}
	limit := p.limiter.Limit()
	limit += 1 / max(limit, 1)
	switch {
	case limit >= p.most:
		limit, p.slowed = p.most, time.Time{}
	case p.most == rate.Inf && limit >= 2*p.peak+10:
		// Nothing is configured, and twice what was too much once is not any more.
		limit, p.slowed = rate.Inf, time.Time{}
	}
	p.set(limit)
}

// share makes this process's part of the rate that of one among n.
func (p *pacer) share(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.whole == rate.Inf {
		return
	}
	p.most = p.whole / rate.Limit(n)
	if p.slowed.IsZero() || p.limiter.Limit() > p.most {
		p.slowed = time.Time{}
		p.set(p.most)
	}
}

func (p *pacer) set(limit rate.Limit) {
	p.limiter.SetBurst(burstOf(limit)) // first, lest an endless burst comes with a new limit
	p.limiter.SetLimit(limit)
}

// untilNext is how long until the rate allows another request; 0 if it does now.
func (p *pacer) untilNext() time.Duration {
	limit := p.limiter.Limit()
	if limit == rate.Inf {
		return 0
	}
	missing := 1 - p.limiter.Tokens()
	if missing <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(missing / float64(limit) * float64(time.Second)))
}
