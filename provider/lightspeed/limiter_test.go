package lightspeed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answering is a transport that is a function.
type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is an answer with these headers, name and value in turn.
func answer(status int, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(""))}
}

// vendor is an API with a limit. It counts refusals.
type vendor struct {
	mu               sync.Mutex
	served, refused  int
	abreast, highest int // under way now, and at most
	takes            time.Duration
	late             func(n int) time.Duration // how much later than others the nth answer comes, if not nil
	asked            int
	limit            func(now time.Time) (ok bool, headers []string)
}

func (v *vendor) RoundTrip(*http.Request) (*http.Response, error) {
	v.mu.Lock()
	v.abreast++
	v.highest = max(v.highest, v.abreast)
	v.mu.Unlock()
	time.Sleep(v.takes / 2)
	v.mu.Lock()
	ok, headers := v.limit(time.Now())
	back := v.takes / 2
	if v.asked++; v.late != nil {
		back += v.late(v.asked)
	}
	v.mu.Unlock()
	time.Sleep(back)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.abreast--
	if ok {
		v.served++
		return answer(http.StatusOK, headers...), nil
	}
	v.refused++
	return answer(http.StatusTooManyRequests, headers...), nil
}

// leaky is R-Series' bucket, into which others pour as well.
func leaky(size, drip, cost float64) func(time.Time) (bool, []string) {
	var level float64
	var at time.Time
	return func(now time.Time) (bool, []string) {
		if !at.IsZero() {
			level = max(level-now.Sub(at).Seconds()*drip, 0)
		}
		at = now
		ok := level < size
		if ok {
			level += cost
		}
		return ok, []string{"X-LS-API-Bucket-Level", fmt.Sprintf("%g/%g", level, size), "x-ls-api-drip-rate", fmt.Sprint(drip), "X-Ls-Api-Request-Cost", fmt.Sprint(cost)}
	}
}

// fixed is a number of requests in a window that began before anybody looked.
func fixed(n int, lasts, phase time.Duration, tell func(used, n int) []string) func(time.Time) (bool, []string) {
	var window int64
	used := 0
	return func(now time.Time) (bool, []string) {
		if w := now.Add(phase).UnixNano() / int64(lasts); w != window {
			window, used = w, 0
		}
		ok := used < n
		if ok {
			used++
		}
		return ok, tell(used, n)
	}
}

func burstLevel(used, n int) []string {
	return []string{"X-LS-API-Burst-Level", fmt.Sprintf("%d/%d", used, n)}
}

func windowLeft(used, n int) []string {
	return []string{"X-RateLimit-Limit", fmt.Sprint(n), "X-RateLimit-Remaining", fmt.Sprint(n - used)}
}

func TestRequestsOfOneAccountStayWithinItsLimits(t *testing.T) {
	window := func() func(time.Time) (bool, []string) {
		return fixed(350, 5*time.Minute, 130*time.Second, windowLeft)
	}
	// Of those that are asked together, the answer to the last comes first.
	backwards := func(n int) time.Duration { return time.Duration(16-n%16) * time.Millisecond }
	tests := []struct {
		name     string
		limit    func() func(time.Time) (bool, []string)
		callers  int
		requests int
		late     func(int) time.Duration
		longest  time.Duration // what all of them may take
	}{
		{"a bucket of 90 that drips 1 a second", func() func(time.Time) (bool, []string) { return leaky(90, 1, 1) }, 16, 288, nil, 4 * time.Minute},
		{"a bucket whose requests cost 2.2", func() func(time.Time) (bool, []string) { return leaky(100, 1.5, 2.2) }, 16, 192, backwards, 5 * time.Minute},
		{"20 a second", func() func(time.Time) (bool, []string) {
			return fixed(20, time.Second, 300*time.Millisecond, burstLevel)
		}, 16, 192, nil, 15 * time.Second},
		{"350 in five minutes", window, 16, 896, nil, 11 * time.Minute},
		{"350 in five minutes, answered backwards", window, 16, 896, backwards, 11 * time.Minute},
		{"350 in five minutes, answered minutes later", window, 16, 1792, func(n int) time.Duration { return time.Duration(n*n%40) * time.Second }, 41 * time.Minute},
		{"350 in five minutes for 400 at once", window, 400, 1200, func(n int) time.Duration { return time.Duration(n*n%400) * time.Second }, 31 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vendor{takes: 80 * time.Millisecond, late: tt.late, limit: tt.limit()}
				l := NewLimiter()
				began := time.Now()
				var wg sync.WaitGroup
				for range tt.callers { // of one account, each with a client of its own
					c := &http.Client{Transport: l.Transport(v)}
					wg.Go(func() {
						for range tt.requests / tt.callers {
							resp, err := c.Get("https://api.example/x")
							if err != nil {
								t.Error(err)
								return
							}
							_ = resp.Body.Close()
						}
					})
				}
				wg.Wait()
				if took := time.Since(began); v.refused > 0 || v.served != tt.requests || took > tt.longest {
					t.Errorf("%d served, %d refused, in %v", v.served, v.refused, took)
				}
			})
		})
	}
}

func TestAnswersOutOfOrderAreNoNewWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := fixed(20, 5*time.Minute, 0, windowLeft)
		// Those that are sent together are sent before any of them is counted.
		v := &vendor{takes: 100 * time.Millisecond, limit: limit, late: func(n int) time.Duration { return time.Duration(20-n) * time.Millisecond }}
		tr := NewLimiter().Transport(v)
		began := time.Now()
		for _, together := range []int{1, 15, 8} {
			var wg sync.WaitGroup
			for range together {
				wg.Go(func() {
					if resp, err := tr.RoundTrip(get1(t.Context())); err != nil || resp.StatusCode != 200 {
						t.Error(resp, err)
					}
				})
			}
			wg.Wait()
		}
		if took := time.Since(began); v.refused > 0 || took > 5*time.Minute+time.Second {
			t.Errorf("%d refused, in %v", v.refused, took)
		}
	})
}

func TestAnEmptyWindowEndsWhenTheRefusalSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		tr := NewLimiter().Transport(answering(func(*http.Request) (*http.Response, error) {
			switch asked++; asked {
			case 1:
				return answer(200, windowLeft(349, 350)...), nil
			case 2: // another program used the last one
				return answer(429, append(windowLeft(350, 350), "Retry-After", "42")...), nil
			}
			return answer(200, windowLeft(asked-2, 350)...), nil
		}))
		began := time.Now()
		for range 3 {
			if resp, err := tr.RoundTrip(get1(t.Context())); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
		}
		if took := time.Since(began); took != 42*time.Second {
			t.Errorf("took %v, want 42s", took)
		}
	})
}

func TestNothingIsHeldBackWhereNoLimitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vendor{takes: time.Second, limit: func(time.Time) (bool, []string) { return true, nil }}
		l := NewLimiter()
		began := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if _, err := l.Transport(v).RoundTrip(get1(t.Context())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		// The first goes alone, because it tells the limits; then all the others.
		if took := time.Since(began); took != 2*time.Second || v.highest != 99 {
			t.Errorf("took %v, %d at once", took, v.highest)
		}
	})
}

func get1(ctx context.Context) *http.Request {
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example/x", nil)
	return r
}

func TestARefusalHoldsBackEverybodyOfTheAccount(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // where a bubble begins
	tests := []struct {
		name    string
		headers []string
		status  int
		want    time.Duration
	}{
		{"R-Series' seconds", []string{"Retry-After", "7"}, 429, 7 * time.Second},
		{"X-Series' date", []string{"Retry-After", start.Add(42 * time.Second).Format(http.TimeFormat)}, 429, 42 * time.Second},
		{"a date by a clock that is an hour ahead", []string{"Date", start.Add(time.Hour).Format(http.TimeFormat), "Retry-After", start.Add(time.Hour + 9*time.Second).Format(http.TimeFormat)}, 429, 9 * time.Second},
		{"nothing", nil, 429, time.Second},
		{"what makes no sense", []string{"Retry-After", "soon"}, 429, time.Second},
		{"a pause of the service", []string{"Retry-After", "3"}, 503, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				base := answering(func(*http.Request) (*http.Response, error) {
					if asked.Add(1) == 1 {
						return answer(tt.status, tt.headers...), nil
					}
					if time.Since(start) < tt.want {
						t.Errorf("asked again after %v", time.Since(start))
					}
					return answer(200), nil
				})
				l := NewLimiter()
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() {
						resp, err := l.Transport(base).RoundTrip(get1(t.Context()))
						if err != nil || resp.StatusCode != 200 {
							t.Errorf("answer %v, %v", resp, err)
						}
					})
					synctest.Wait()
				}
				wg.Wait()
				if d := time.Since(start); d != tt.want {
					t.Errorf("took %v, want %v", d, tt.want)
				}
			})
		})
	}
}

func TestARefusalIsHandedBackWhereWaitingWouldNotHelp(t *testing.T) {
	post := func(body io.Reader) func(context.Context) *http.Request {
		return func(ctx context.Context) *http.Request {
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.example/x", body)
			return r
		}
	}
	tests := []struct {
		name     string
		request  func(ctx context.Context) *http.Request
		deadline time.Duration
		status   int
		after    string
		asked    int
	}{
		{"an error of another kind", get1, time.Hour, 500, "1", 1},
		{"503 without a time", get1, time.Hour, 503, "", 1},
		{"more than 15 minutes", get1, time.Hour, 429, "901", 1},
		{"five times", get1, time.Hour, 429, "1", 5},
		{"a body that cannot be sent again", post(io.LimitReader(strings.NewReader("x"), 1)), time.Hour, 429, "1", 1},
		{"a body that can", post(strings.NewReader("x")), time.Hour, 429, "1", 5},
		{"a deadline before", get1, 10 * time.Second, 429, "11", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				asked := 0
				base := answering(func(r *http.Request) (*http.Response, error) {
					asked++
					if r.Body != nil {
						if b, _ := io.ReadAll(r.Body); string(b) != "x" {
							t.Errorf("body = %q", b)
						}
					}
					return answer(tt.status, "Retry-After", tt.after), nil
				})
				resp, err := NewLimiter().Transport(base).RoundTrip(tt.request(ctx))
				if err != nil || resp.StatusCode != tt.status || asked != tt.asked {
					t.Errorf("%v, %v after %d requests", resp, err, asked)
				}
			})
		})
	}
}

func TestWhoeverStopsWaitingLeavesTheOthersTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter()
		base := l.Transport(answering(func(r *http.Request) (*http.Response, error) {
			if r.Context().Value(firstKey{}) != nil {
				return answer(429, "Retry-After", "60"), nil
			}
			return answer(200), nil
		}))
		first, forget := context.WithTimeout(context.WithValue(t.Context(), firstKey{}, true), 5*time.Second)
		defer forget()
		if resp, err := base.RoundTrip(get1(first)); err != nil || resp.StatusCode != 429 {
			t.Fatal(resp, err)
		}
		short, stop := context.WithTimeout(t.Context(), 5*time.Second)
		defer stop()
		began := time.Now()
		if _, err := base.RoundTrip(get1(short)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 0 {
			t.Errorf("error %v after %v, want at once: the limit lasts longer", err, time.Since(began))
		}
		gone, leave := context.WithCancelCause(t.Context())
		cause := errors.New("Ctrl-C")
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := base.RoundTrip(get1(gone)); !errors.Is(err, cause) {
					t.Errorf("error = %v", err)
				}
			})
		}
		wg.Go(func() {
			if resp, err := base.RoundTrip(get1(t.Context())); err != nil || resp.StatusCode != 200 {
				t.Errorf("%v, %v", resp, err)
			}
		})
		synctest.Wait()
		leave(cause)
		wg.Wait()
		if d := time.Since(began); d != time.Minute {
			t.Errorf("the one who stayed was served after %v", d)
		}
	})
}

type firstKey struct{}

func TestTheFirstRequestThatFailsTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		tr := NewLimiter().Transport(answering(func(*http.Request) (*http.Response, error) {
			if asked++; asked == 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return answer(200), nil
		}))
		if _, err := tr.RoundTrip(get1(t.Context())); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		if _, err := tr.RoundTrip(get1(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// FuzzLimits: whatever headers say, a wait is bounded and numbers stay numbers.
func FuzzLimits(f *testing.F) {
	f.Add("12.5/90", "1", "1", "3/20", "350", "12", "1790000000", "7")
	f.Add("75.898271799086/90", "1.5", "0.2", "21/20", "10", "0", "", "Sat, 01 Jan 2000 00:00:10 GMT")
	f.Add("NaN/0", "-1", "1e400", "/", "0x10", "Inf", "1e300", "-5")
	f.Fuzz(func(t *testing.T, level, drip, cost, bst, win, left, reset, after string) {
		now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		h := http.Header{}
		for name, v := range map[string]string{
			"X-LS-API-Bucket-Level": level, "X-LS-API-Drip-Rate": drip, "X-LS-API-Request-Cost": cost, "X-LS-API-Burst-Level": bst,
			"X-RateLimit-Limit": win, "X-RateLimit-Remaining": left, "X-RateLimit-Reset": reset, "Retry-After": after,
		} {
			h.Set(name, v)
		}
		told := readLimits(h, now)
		if told.retryAfter < 0 || told.retryAfter > mostRetryAfter || told.size > 0 && told.drip <= 0 {
			t.Errorf("limits = %+v", told)
		}
		var b bucket
		var u burst
		var w window
		b.learn(now, told, "GET", 1)
		u.learn(told)
		w.learn(now, told, seen{})
		for range 3 {
			b.add(now, b.expected("GET"))
			u.add(now)
		}
		if wait := b.wait(now, b.expected("GET")); wait < 0 || wait > mostHold {
			t.Errorf("bucket %+v asks for %v", b, wait)
		}
		if wait := max(u.wait(now), w.wait(now, 3)); wait < 0 || wait > windowLasts {
			t.Errorf("burst %+v and window %+v ask for %v", u, w, wait)
		}
	})
}
