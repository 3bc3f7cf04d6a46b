package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
)

// fleeting is a server in memory whose tokens live an hour and may be kept for
// 50 minutes. It counts what it is asked.
type fleeting struct {
	mu      sync.Mutex
	n       int // of the current token
	asked   int
	useFor  string                           // instead of 3000
	trouble func(asked int) *http.Response   // instead of an answer, if it is not nil
	slow    func(r *http.Request, token int) // before the answer with that token arrives
}

func (f *fleeting) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.asked++
	if f.trouble != nil {
		if res := f.trouble(f.asked); res != nil {
			f.mu.Unlock()
			return res, nil
		}
	}
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/reject") {
		body, err := io.ReadAll(r.Body)
		if err == nil && strings.Contains(string(body), fmt.Sprintf(`"f%d"`, f.n)) {
			f.n++
		}
	}
	n, use := f.n, f.useFor
	f.mu.Unlock()
	if f.slow != nil {
		f.slow(r, n)
	}
	if use == "" {
		use = "3000"
	}
	return reply(http.StatusOK, http.Header{"Evergrant-Use-For": {use}},
		fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","fingerprint":"f%d","expires_in":3600,"connection":{"id":"conn_1","key":"biz_42","app":"k-series"}}`, n, n)), nil
}

func (f *fleeting) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func reply(status int, h http.Header, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// problem is an answer that says to come again.
func problem(status int, after string) *http.Response {
	return reply(status, http.Header{"Content-Type": {"application/problem+json"}, "Retry-After": {after}},
		`{"code":"temporarily_unavailable","detail":"later","act_by":"nobody"}`)
}

// over returns a client of the server.
func over(t testing.TB, f *fleeting, change func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{URL: "http://evergrant", HTTPClient: &http.Client{Transport: f}}
	change(&cfg)
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keeping(cfg *client.Config) { cfg.KeepTokens = true }

// gives fails the test if the client gives another token.
func gives(t *testing.T, c *client.Client, want string, opts *evergrant.TokenOptions) {
	t.Helper()
	tok, err := c.Token(t.Context(), "biz_42@k-series", opts)
	if err != nil {
		t.Fatal(err)
	}
	if tok.AccessToken != want {
		t.Errorf("it gives %s, want %s", tok.AccessToken, want)
	}
}

func TestATokenIsKeptUntilTheServerMayReplaceIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fleeting{}
		c := over(t, f, keeping)
		gives(t, c, "t0", nil)
		time.Sleep(50*time.Minute - time.Nanosecond)
		gives(t, c, "t0", nil)
		if f.count() != 1 {
			t.Errorf("asked %d times before the end", f.count())
		}
		f.n = 1 // replaced as planned
		time.Sleep(time.Nanosecond)
		gives(t, c, "t1", nil)
		if f.count() != 2 {
			t.Errorf("asked %d times in all", f.count())
		}
	})
}

func TestWhatIsKeptFitsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fleeting{}
		c := over(t, f, keeping)
		gives(t, c, "t0", nil)
		gives(t, c, "t0", &evergrant.TokenOptions{MinValid: time.Hour})
		if f.count() != 1 {
			t.Errorf("asked %d times for what is kept", f.count())
		}
		time.Sleep(time.Second)
		gives(t, c, "t0", &evergrant.TokenOptions{MinValid: time.Hour})
		gives(t, c, "t0", &evergrant.TokenOptions{Location: "1"})
		gives(t, c, "t0", &evergrant.TokenOptions{Location: "1"})
		if f.count() != 3 {
			t.Errorf("asked %d times", f.count())
		}
	})
}

func TestATokenThatIsNotToBeKeptIsAskedForEachTime(t *testing.T) {
	t.Parallel()
	for _, use := range []string{"0", "-1", "soon", "99999999999999999999"} {
		f := &fleeting{useFor: use}
		c := over(t, f, keeping)
		gives(t, c, "t0", nil)
		gives(t, c, "t0", nil)
		if f.count() != 2 {
			t.Errorf("%s: asked %d times", use, f.count())
		}
	}
	f := &fleeting{}
	c := over(t, f, func(*client.Config) {})
	gives(t, c, "t0", nil)
	gives(t, c, "t0", nil)
	if f.count() != 2 {
		t.Errorf("without KeepTokens: asked %d times", f.count())
	}
}

func TestARejectedTokenIsGoneUnderEveryRef(t *testing.T) {
	t.Parallel()
	f := &fleeting{}
	c := over(t, f, keeping)
	gives(t, c, "t0", nil)
	if _, err := c.Token(t.Context(), "conn_1", nil); err != nil {
		t.Fatal(err)
	}
	tok, err := c.Reject(t.Context(), "biz_42@k-series", "f0")
	if err != nil || tok.AccessToken != "t1" {
		t.Fatalf("%v, %v", tok, err)
	}
	asked := f.count()
	gives(t, c, "t1", nil)
	if f.count() != asked {
		t.Error("what Reject brought is not kept")
	}
	if tok, err := c.Token(t.Context(), "conn_1", nil); err != nil || tok.AccessToken != "t1" {
		t.Errorf("under the id: %v, %v", tok, err)
	}
}

func TestAChangeOfTheConnectionDropsItsToken(t *testing.T) {
	t.Parallel()
	const address, id evergrant.Ref = "biz_42@k-series", "conn_1"
	for _, tt := range []struct {
		name    string
		asked   evergrant.Ref
		changed evergrant.Ref
		dropped bool
	}{
		{"under the name it was asked for", address, address, true},
		{"under its id", address, id, true},
		{"under its address", id, address, true},
		{"not that of another connection", address, "conn_2", false},
		{"not that of another business", id, "biz_4@k-series", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fleeting{}
			c := over(t, f, keeping)
			opts := &evergrant.TokenOptions{Location: "1"}
			for range 2 { // what was dropped once is dropped again
				must(c.Token(t.Context(), tt.asked, nil))(t)
				must(c.Token(t.Context(), tt.asked, opts))(t)
				must(c.Disconnect(t.Context(), tt.changed))(t)
				asked := f.count()
				must(c.Token(t.Context(), tt.asked, nil))(t)
				must(c.Token(t.Context(), tt.asked, opts))(t)
				if got := f.count() != asked; got != tt.dropped {
					t.Errorf("dropped is %t", got)
				}
			}
		})
	}
}

// TestAChangeUnderwayIsNotOvertaken: whose token the first answer to a ref will
// be is not known while it is under way.
func TestAChangeUnderwayIsNotOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fleeting{slow: func(r *http.Request, _ int) {
			if r.Method == http.MethodGet {
				time.Sleep(time.Second)
			}
		}}
		c := over(t, f, keeping)
		late := make(chan error)
		go func() {
			_, err := c.Token(t.Context(), "biz_42@k-series", nil)
			late <- err
		}()
		synctest.Wait()
		must(c.Disconnect(t.Context(), "conn_1"))(t)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		asked := f.count()
		gives(t, c, "t0", nil)
		if f.count() == asked {
			t.Error("what was asked for before the change is kept")
		}
	})
}

func TestAnImportDropsWhatItChanged(t *testing.T) {
	t.Parallel()
	const line = `{"line":1,"ref":"biz_42@k-series","status":"updated"}`
	for _, tt := range []struct {
		name, answer string
		dropped      bool
	}{
		{"a line about it", line, true},
		{"a line that failed", `{"line":1,"ref":"biz_42@k-series","status":"failed"}`, true},
		{"another's line", `{"line":1,"ref":"biz_4@k-series","status":"updated"}`, false},
		{"an answer that breaks off, which may have been about it", "{", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &fleeting{}
			c := over(t, f, keeping)
			must(c.Token(t.Context(), "conn_1", nil))(t)
			f.trouble = func(asked int) *http.Response {
				if asked == 2 {
					return reply(http.StatusOK, nil, tt.answer)
				}
				return nil
			}
			err := c.Import(t.Context(), strings.NewReader("{}"), func(client.Imported) error {
				must(c.Token(t.Context(), "conn_1", nil))(t)
				return nil
			})
			if (err != nil) != (tt.answer == "{") {
				t.Fatal(err)
			}
			must(c.Token(t.Context(), "conn_1", nil))(t)
			if got := f.count() > 2; got != tt.dropped {
				t.Errorf("dropped is %t", got)
			}
		})
	}
}

func TestAnAnswerThatWasOvertakenIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fleeting{slow: func(r *http.Request, n int) {
			if n == 0 && r.Method == http.MethodGet {
				time.Sleep(time.Second)
			}
		}}
		c := over(t, f, keeping)
		late := make(chan string)
		for range 2 {
			go func() {
				tok, err := c.Token(t.Context(), "biz_42@k-series", nil)
				if err != nil {
					t.Error(err)
					tok = &evergrant.Token{}
				}
				late <- tok.AccessToken
			}()
		}
		synctest.Wait()
		if tok, err := c.Reject(t.Context(), "biz_42@k-series", "f0"); err != nil || tok.AccessToken != "t1" {
			t.Fatalf("%v, %v", tok, err)
		}
		if a, b := <-late, <-late; a != "t0" || b != "t0" {
			t.Errorf("the late ones gave %s and %s", a, b)
		}
		gives(t, c, "t1", nil)
	})
}

func TestManyTokensAreKeptWithinBounds(t *testing.T) {
	t.Parallel()
	f := &fleeting{}
	c := over(t, f, keeping)
	for i := range 30_000 {
		if _, err := c.Token(t.Context(), evergrant.Ref(fmt.Sprintf("b%d@k-series", i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Token(t.Context(), "b29999@k-series", nil); err != nil || f.count() != 30_000 {
		t.Errorf("asked %d times, %v", f.count(), err)
	}
}

func TestPatienceWaitsAsLongAsTheServerSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		patience time.Duration
		call     func(*testing.T, *client.Client) error
		tries    int
		took     time.Duration
		fails    bool
	}{
		{"a token", 10 * time.Second, func(t *testing.T, c *client.Client) error { _, err := c.Token(t.Context(), "a@b", nil); return err }, 3, 8 * time.Second, false},
		{"a rejection", 10 * time.Second, func(t *testing.T, c *client.Client) error { _, err := c.Reject(t.Context(), "a@b", "f9"); return err }, 3, 8 * time.Second, false},
		{"no longer than it has", 5 * time.Second, func(t *testing.T, c *client.Client) error { _, err := c.Token(t.Context(), "a@b", nil); return err }, 2, 4 * time.Second, true},
		{"none", 0, func(t *testing.T, c *client.Client) error { _, err := c.Token(t.Context(), "a@b", nil); return err }, 1, 0, true},
		{"a change is not made twice", time.Minute, func(t *testing.T, c *client.Client) error { _, err := c.Disconnect(t.Context(), "a@b"); return err }, 1, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fleeting{trouble: func(asked int) *http.Response {
					if asked <= 2 {
						return problem(http.StatusServiceUnavailable, "4")
					}
					return nil
				}}
				c := over(t, f, func(cfg *client.Config) { cfg.Patience = tt.patience })
				began := time.Now()
				err := tt.call(t, c)
				if (err != nil) != tt.fails || err != nil && !errors.Is(err, evergrant.ErrTemporary) {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(began); took != tt.took || f.count() != tt.tries {
					t.Errorf("%d tries in %s, want %d in %s", f.count(), took, tt.tries, tt.took)
				}
			})
		})
	}
}

func TestPatienceEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fleeting{trouble: func(int) *http.Response { return problem(http.StatusTooManyRequests, "4") }}
		c := over(t, f, func(cfg *client.Config) { cfg.Patience = time.Hour })
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var e *evergrant.Error
		if _, err := c.Token(ctx, "a@b", nil); !errors.As(err, &e) || e.RetryAfter != 4*time.Second {
			t.Errorf("error is %v", err)
		}
		if took := time.Since(began); took != 4*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// BenchmarkKeptToken is a token from the client's memory.
func BenchmarkKeptToken(b *testing.B) {
	c := over(b, &fleeting{}, keeping)
	ctx := b.Context()
	if _, err := c.Token(ctx, "biz_42@k-series", nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Token(ctx, "biz_42@k-series", nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAKeptTokenCostsNoAllocation holds the hit to nothing.
func TestAKeptTokenCostsNoAllocation(t *testing.T) {
	c := over(t, &fleeting{}, keeping)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.Token(ctx, "biz_42@k-series", nil); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}
