package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/proxy"
)

func TestTheAPISeesTheTokenAndNothingOfTheCaller(t *testing.T) {
	var got *http.Request
	k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		for _, line := range []string{"Set-Cookie: a=b", "Set-Cookie2: a=b", "Strict-Transport-Security: max-age=1", "Alt-Svc: h3", "Request-Id: theirs",
			"X-Echo: Bearer token-1", "X-LS-Api-Bucket-Level: 12.5/90", "ETag: \"1\""} {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Add(name, value)
		}
	}, options{})
	res, _ := k.do("GET", "/x", "", "Authorization: Bearer evg_secret", "Cookie: a=b", "Proxy-Authorization: Basic x", "Forwarded: for=1",
		"X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /x", "X-Real-Ip: 1.2.3.4", "Via: 1.1 x",
		"True-Client-Ip: 1", "X-Original-Url: /admin", "X-Rewrite-Url: /admin", "X-Http-Method-Override: DELETE", "Referer: http://10.0.0.1/",
		"Evergrant-Location: 31", "Connection: Authorization, X-Custom", "X-Custom: 1", "Te: trailers", "Keep-Alive: 1",
		"Accept: application/json", "Idempotency-Key: k", "If-None-Match: \"1\"", "User-Agent: caller")
	want := http.Header{"Authorization": {"Bearer token-1"}, "Accept": {"application/json"}, "Idempotency-Key": {"k"}, "If-None-Match": {`"1"`},
		"User-Agent": {"caller"}, "Accept-Encoding": {"gzip"}, "Te": {"trailers"}}
	if diff := cmp.Diff(want, got.Header); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"31"}, k.tokens.locations); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"Set-Cookie", "Set-Cookie2", "Strict-Transport-Security", "Alt-Svc", "Request-Id", "X-Echo"} {
		if v := res.Header[name]; v != nil {
			t.Errorf("the caller sees %s: %v", name, v)
		}
	}
	if res.Header.Get("X-LS-Api-Bucket-Level") != "12.5/90" || res.Header.Get("ETag") != `"1"` || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", res.Header)
	}
}

func TestTheAPIsOwnWordOnCachingHolds(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=60") }, options{})
	if res, _ := k.do("GET", "/x", ""); !cmp.Equal(res.Header["Cache-Control"], []string{"max-age=60"}) {
		t.Errorf("%v", res.Header["Cache-Control"])
	}
}

func TestA401IsReportedOnceAndTheRequestSentOnceMore(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	for _, c := range []struct {
		name, method, body string
		next, moved        string
		err                error
		api                func(token string) int
		status             int
		sends              int
		retried            string
	}{
		{name: "without a body", method: "GET", next: "token-2", status: 200, sends: 2, retried: "1"},
		{name: "with a short body", method: "POST", body: "hello", next: "token-2", status: 200, sends: 2, retried: "1"},
		{name: "with a body too long to keep", method: "POST", body: long, next: "token-2", status: 401, sends: 1},
		{name: "when the same token comes back", method: "GET", status: 401, sends: 1},
		{name: "when the API has moved meanwhile", method: "GET", next: "token-2", moved: "http://127.0.0.1:1", status: 401, sends: 1},
		{name: "when the new token is refused too", method: "GET", next: "token-2", api: func(string) int { return 401 }, status: 401, sends: 2, retried: "1"},
		{name: "when the grant is found dead", method: "GET", err: errors.New("log in again"), status: 409, sends: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var bodies []string
			k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				bodies = append(bodies, string(b))
				status := 200
				if r.Header.Get("Authorization") == "Bearer token-1" {
					status = 401
				}
				if c.api != nil {
					status = c.api(r.Header.Get("Authorization"))
				}
				w.WriteHeader(status)
			}, options{})
			k.tokens.next, k.tokens.moved, k.tokens.err = c.next, c.moved, c.err
			res, body := k.do(c.method, "/x", c.body)
			if res.StatusCode != c.status || res.Header.Get("Evergrant-Retried") != c.retried {
				t.Errorf("%d, retried %q: %s", res.StatusCode, res.Header.Get("Evergrant-Retried"), body)
			}
			if len(bodies) != c.sends || len(k.tokens.rejected) != 1 {
				t.Errorf("sent %d times, rejected %v", len(bodies), k.tokens.rejected)
			}
			for _, b := range bodies {
				if b != c.body {
					t.Errorf("a body of %d bytes arrived with %d", len(c.body), len(b))
				}
			}
		})
	}
}

func TestBothWaysStream(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusOK)
		_ = control.Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintf(w, "echo %s\n", lines.Text())
			_ = control.Flush()
		}
	}, options{})
	up, send := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), "POST", k.server.URL+prefix+"/x", up)
	if err != nil {
		t.Fatal(err)
	}
	go fmt.Fprintln(send, "0")
	res, err := k.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answers := bufio.NewReader(res.Body)
	for i := range 5 {
		line, err := answers.ReadString('\n')
		if err != nil || line != fmt.Sprintf("echo %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
		if _, err := fmt.Fprintln(send, i+1); err != nil {
			t.Fatal(err)
		}
	}
	send.Close()
	if _, err := io.Copy(io.Discard, answers); err != nil {
		t.Error(err)
	}
}

func TestInformationalAnswersStayHere(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	}, options{})
	hints := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil }}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", k.server.URL+prefix+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := k.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent || hints != 0 {
		t.Errorf("%d after %d hints", res.StatusCode, hints)
	}
}

func TestAnAPIThatSwitchesProtocolsUnaskedIsAFault(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}, options{})
	if res, _ := k.do("GET", "/x", ""); res.StatusCode != http.StatusBadGateway {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestRedirectsAreHandedBackAndStayOnTheProxy(t *testing.T) {
	var api string
	var to string
	asked := 0
	k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Location", strings.ReplaceAll(to, "API", api))
		w.WriteHeader(http.StatusFound)
	}, options{base: "/v1"})
	api = strings.TrimSuffix(k.tokens.base, "/v1")
	ours := k.server.URL + prefix
	for _, c := range []struct{ location, want string }{
		{"API/v1/b?x=1#y", ours + "/b?x=1#y"},
		{"/v1/b", ours + "/b"},
		{"b", ours + "/b"},
		{"API/v1", ours},
		{"API/v2/b", "API/v2/b"},
		{"API/v10/b", "API/v10/b"},
		{"/login", "/login"},
		{"https://evil.example/v1/b", "https://evil.example/v1/b"},
		{"//evil.example/v1/b", "//evil.example/v1/b"},
		{"API/v1/a;b", "API/v1/a;b"},
		{"mailto:a@b", "mailto:a@b"},
	} {
		to = c.location
		res, _ := k.do("GET", "/a", "")
		if got, want := res.Header.Get("Location"), strings.ReplaceAll(c.want, "API", api); res.StatusCode != 302 || got != want {
			t.Errorf("%s became %d %s, want %s", c.location, res.StatusCode, got, want)
		}
	}
	if asked != 11 {
		t.Errorf("%d requests: a redirect was followed", asked)
	}
}

func TestLinkHeadersStayOnTheProxy(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Link", `<http://`+r.Host+`/x?page=2>; rel="next", <https://docs.example/>; rel="help", <`)
	}, options{})
	for sent, page := range map[string]string{"/x": "page=2", "/x?evergrant_location=a%26b": "page=2&evergrant_location=a%26b"} {
		res, _ := k.do("GET", sent, "")
		want := "<" + k.server.URL + prefix + "/x?" + page + `>; rel="next", <https://docs.example/>; rel="help", <`
		if got := res.Header.Get("Link"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestWhatAnAppAllows(t *testing.T) {
	rules := proxy.Rules{Methods: []string{"GET", "POST"}, Paths: []string{"/f/data/*", "/o/**", "/API/*/Item*.json", "/exact"}}
	asked := 0
	k := newKit(t, func(http.ResponseWriter, *http.Request) { asked++ }, options{rules: rules})
	for request, status := range map[string]int{
		"GET /f/data/businesses": 200, "POST /f/data/x": 200, "GET /o/a/b/c": 200, "GET /o/": 200, "GET /API/3/Items.json": 200, "GET /exact": 200,
		"GET /%66/data/x": 200, "GET /exact?x=/o/": 200,
		"DELETE /f/data/x": 403, "get /f/data/x": 403, "GET /f/data": 403, "GET /f/data/a/b": 403, "GET /o": 403, "GET /O/x": 403, "GET /API/3/4/Items.json": 403,
		"GET /exact/": 403, "GET /": 403, "GET ": 403, "GET /f/data/x/": 403,
	} {
		method, path, _ := strings.Cut(request, " ")
		if res, body := k.do(method, path, ""); res.StatusCode != status {
			t.Errorf("%s: %d %s", request, res.StatusCode, body)
		}
	}
	if asked != 8 {
		t.Errorf("the API was asked %d times", asked)
	}
}

func TestPatterns(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"/": true, "/*": true, "/**": true, "/f/data/*": true, "/a*b/c": true, "/a/**": true,
		"": false, "a": false, "/a/**/b": false, "/a**": false, "/a?b": false, "/[a]": false, "/a//b": false, "/../a": false, "/a%20b": false, "/a;b": false, `/a\b`: false,
	} {
		if err := proxy.CheckPattern(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestAnAPIThatIsNotThereOrBreaksOff(t *testing.T) {
	k := newKit(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	}, options{recipe: "lightspeed-r"})
	if res, body := k.do("POST", "/gone", "x"); res.StatusCode != 502 || !strings.Contains(body, "could not be asked: 127.0.0.1: the connection was closed") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := k.do("GET", "/half", ""); res.StatusCode != 502 || !strings.Contains(body, "broke off") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	k.tokens.base = "http://127.0.0.1:1"
	if res, body := k.do("GET", "/x", ""); res.StatusCode != 502 || !strings.Contains(body, "127.0.0.1: connection refused") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	k.tokens.base = ""
	if res, body := k.do("GET", "/x", ""); res.StatusCode != 400 || !strings.Contains(body, "endpoints.api") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := k.do("GET", "/x?evergrant_location=nowhere", ""); res.StatusCode != 409 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestAnAPIThatIsSilentIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, options{patience: time.Minute})
		began := time.Now()
		if res, body := k.do("GET", "/x", ""); res.StatusCode != 504 || time.Since(began) != time.Minute {
			t.Errorf("%d after %v: %s", res.StatusCode, time.Since(began), body)
		}
	})
}

func TestAnAnswerMayTakeAsLongAsItGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			for range 10 {
				_, _ = w.Write([]byte("x"))
				_ = http.NewResponseController(w).Flush()
				wait(r, 5*time.Minute)
			}
		}, options{patience: time.Minute})
		if res, body := k.do("GET", "/x", ""); res.StatusCode != 200 || body != strings.Repeat("x", 10) {
			t.Errorf("%d %s", res.StatusCode, body)
		}
	})
}

// wait waits on the bubble's time, or until the request ends.
func wait(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

func TestTheProvidersLimitIsWaitedForIfTheAppSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var asked []time.Duration
		k := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, time.Since(began))
			if time.Since(began) < 3*time.Second {
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(http.StatusTooManyRequests)
			}
		}, options{rules: proxy.Rules{Queue: 4 * time.Second}})
		if res, body := k.do("POST", "/x", "body"); res.StatusCode != 200 {
			t.Errorf("%d %s", res.StatusCode, body)
		}
		if diff := cmp.Diff([]time.Duration{0, 3 * time.Second}, asked); diff != "" {
			t.Error(diff)
		}
	})
}

func TestALimitThatLastsTooLongIsToldWithoutAskingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		k := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Retry-After", time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		}, options{rules: proxy.Rules{Queue: 2 * time.Second}})
		res, _ := k.do("GET", "/x", "")
		if res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
		if res, body := k.do("GET", "/x", ""); res.StatusCode != 429 || !strings.Contains(body, "rate limit") || asked.Load() != 1 {
			t.Errorf("%d %s, asked %d times", res.StatusCode, body, asked.Load())
		}
	})
}

func TestWithoutAQueueLimitsAreTheCallersToObey(t *testing.T) {
	asked := 0
	k := newKit(t, func(w http.ResponseWriter, _ *http.Request) { asked++; w.WriteHeader(http.StatusTooManyRequests) }, options{})
	for range 2 {
		if res, _ := k.do("GET", "/x", ""); res.StatusCode != 429 || res.Header.Get("Retry-After") != "5" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

func TestThoseWhoWaitForALimitLeaveOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		at := make(chan time.Duration, 10)
		k := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			at <- time.Since(began)
			level := "5/90"
			if time.Since(began) == 0 {
				level = "92/90"
			}
			w.Header().Set("X-LS-Api-Bucket-Level", level)
			w.Header().Set("X-LS-Api-Drip-Rate", "2")
		}, options{recipe: "lightspeed-r", rules: proxy.Rules{Queue: time.Minute}})
		k.do("GET", "/x", "")
		done := make(chan struct{})
		for range 3 {
			go func() { k.do("GET", "/x", ""); done <- struct{}{} }()
		}
		for range 3 {
			<-done
		}
		close(at)
		var got []time.Duration
		for d := range at {
			got = append(got, d)
		}
		want := []time.Duration{0, 1500 * time.Millisecond, 2 * time.Second, 2500 * time.Millisecond}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACallerWhoBreaksOffIsNotTheAPIsFault(t *testing.T) {
	k := newKit(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, options{})
	request := "POST " + prefix + "/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\nnonsense\r\n"
	if line := raw(t, k.server.URL, request); !strings.Contains(line, " 400 ") {
		t.Errorf("%s", line)
	}
}
