package oauth

import (
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

func TestSendDeliversAFormAndReturnsTheRawAnswer(t *testing.T) {
	srv, got := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		answerJSON(200, goodTokens)(w, nil)
	})
	s := newSender(t, SenderConfig{UserAgent: "evergrant/1.0"})
	for _, fresh := range []bool{false, true} {
		r := refreshOf(srv.URL + "/token")
		r.Fresh = fresh
		a := s.Send(t.Context(), r)
		if !a.Sent || !a.Complete || a.Err != nil || a.Status != 200 || string(a.Body) != goodTokens {
			t.Fatalf("fresh=%t: got %v, err %v", fresh, a, a.Err)
		}
		if a.RetryAfter != 7*time.Second || a.ContentType != "application/json" || a.ReceivedAt.Before(a.SentAt) {
			t.Errorf("fresh=%t: got RetryAfter %v, ContentType %q, SentAt %v, ReceivedAt %v", fresh, a.RetryAfter, a.ContentType, a.SentAt, a.ReceivedAt)
		}
		req, form := got.last(t)
		want := map[string]string{
			"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded",
			"User-Agent": "evergrant/1.0", "Idempotency-Key": "", "X-Idempotency-Key": "",
		}
		for name, value := range want {
			if req.Header.Get(name) != value {
				t.Errorf("header %s = %q, want %q", name, req.Header.Get(name), value)
			}
		}
		if req.Method != http.MethodPost || req.ProtoMajor != 1 || req.URL.RawQuery != "" {
			t.Errorf("got %s %s %s", req.Method, req.URL, req.Proto)
		}
		if diff := cmp.Diff(map[string][]string(RefreshParams(secret.New(testRefresh))), map[string][]string(form)); diff != "" {
			t.Errorf("form (-want +got):\n%s", diff)
		}
	}
	if n := got.count(); n != 2 {
		t.Errorf("2 sends made %d requests", n)
	}
}

func TestQueryEncodingLeavesTheBodyEmpty(t *testing.T) {
	srv, got := serve(t, answerJSON(200, goodTokens))
	r := refreshOf(srv.URL + "/token?realm=k")
	r.Encoding = Query
	if a := newSender(t, SenderConfig{}).Send(t.Context(), r); a.Status != 200 {
		t.Fatalf("got %v, err %v", a, a.Err)
	}
	req, form := got.last(t)
	q := req.URL.Query()
	if q.Get("realm") != "k" || q.Get("refresh_token") != testRefresh || q.Get("grant_type") != "refresh_token" {
		t.Errorf("query %v", q)
	}
	if len(form) != 0 || req.ContentLength != 0 {
		t.Errorf("body has %v, length %d", form, req.ContentLength)
	}
	if id, sec, ok := req.BasicAuth(); !ok || id != "app" || sec != testSecret {
		t.Errorf("basic auth %q, %t", id, ok)
	}
}

func TestARequestIsNeverSentTwice(t *testing.T) {
	tests := map[string]func(*testing.T, http.ResponseWriter){
		"the server closes the connection after reading the body": func(t *testing.T, w http.ResponseWriter) {
			hijack(t, w).Close()
		},
		"the server resets the connection after reading the body": func(t *testing.T, w http.ResponseWriter) {
			c := hijack(t, w)
			_ = c.SetLinger(0)
			c.Close()
		},
		"the server closes inside the headers": func(t *testing.T, w http.ResponseWriter) {
			c := hijack(t, w)
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-"))
			c.Close()
		},
		"the body is cut": func(t *testing.T, w http.ResponseWriter) {
			c := hijack(t, w)
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n" + goodTokens[:40]))
			c.Close()
		},
		"the answer is not HTTP and quotes the secret": func(t *testing.T, w http.ResponseWriter) {
			c := hijack(t, w)
			_, _ = c.Write([]byte("HTTP/" + testRefresh + " " + testSecret + "\r\n\r\n"))
			c.Close()
		},
	}
	for name, fail := range tests {
		for _, encoding := range []Encoding{Form, Query} {
			for _, fresh := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					var warm atomic.Bool // the first answer leaves a pooled connection behind
					srv, got := serve(t, func(w http.ResponseWriter, r *http.Request) {
						if warm.CompareAndSwap(false, true) {
							answerJSON(200, "{}")(w, r)
							return
						}
						fail(t, w)
					})
					s := newSender(t, SenderConfig{})
					r := refreshOf(srv.URL)
					r.Encoding = encoding
					r.Fresh = fresh
					s.Send(t.Context(), r)
					a := s.Send(t.Context(), r)
					if n := got.count() - 1; n != 1 {
						t.Errorf("one send made %d requests", n)
					}
					if !a.Sent || a.Complete || a.Err == nil {
						t.Errorf("got %v, err %v", a, a.Err)
					}
					if o := Classify(a, nil).Outcome; o != grant.Lost {
						t.Errorf("outcome %v, want lost", o)
					}
					noCanary(t, a.Err)
				})
			}
		}
	}
}

func TestIdleConnectionsThatDieCostNoSecondSend(t *testing.T) {
	srv, got := serve(t, answerJSON(200, goodTokens))
	s := newSender(t, SenderConfig{})
	for range 50 {
		before := got.count()
		s.Send(t.Context(), refreshOf(srv.URL))
		srv.CloseClientConnections()
		a := s.Send(t.Context(), refreshOf(srv.URL))
		switch n := got.count() - before - 1; {
		case n > 1:
			t.Fatalf("one send made %d requests", n)
		case n == 1 && !a.Sent:
			t.Fatalf("a request that arrived is said not to be sent: %v", a.Err)
		}
	}
}

func TestRedirectsAreAnswersAndNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere, stolen := serve(t, answerJSON(200, goodTokens))
		srv, got := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, status)
		})
		a := newSender(t, SenderConfig{}).Send(t.Context(), refreshOf(srv.URL))
		if a.Status != status || !a.Complete || stolen.count() != 0 || got.count() != 1 {
			t.Errorf("%d: got %v, followed %d times", status, a, stolen.count())
		}
		if o := Classify(a, nil).Outcome; o != grant.Unclear {
			t.Errorf("%d: outcome %v, want unclear", status, o)
		}
	}
}

func gzipped(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBodiesAreBounded(t *testing.T) {
	zip := gzipped(t, []byte(goodTokens))
	bomb := gzipped(t, make([]byte, 64<<20))
	tests := map[string]struct {
		encoding string
		write    func(http.ResponseWriter)
		complete bool
		length   int
	}{
		"an endless body is cut at the limit": {"", func(w http.ResponseWriter) {
			chunk := bytes.Repeat([]byte(" "), 1<<16)
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}, false, MaxBody},
		"a body of exactly the limit is complete": {"", func(w http.ResponseWriter) {
			_, _ = w.Write(bytes.Repeat([]byte(" "), MaxBody))
		}, true, MaxBody},
		"a gzip bomb is cut at the limit": {"gzip", func(w http.ResponseWriter) {
			_, _ = w.Write(bomb)
		}, false, MaxBody},
		"gzip is undone": {"gzip", func(w http.ResponseWriter) {
			_, _ = w.Write(zip)
		}, true, len(goodTokens)},
		"what only claims to be gzip is taken as it is": {"gzip", func(w http.ResponseWriter) {
			_, _ = w.Write([]byte(goodTokens))
		}, true, len(goodTokens)},
		"broken gzip is incomplete": {"gzip", func(w http.ResponseWriter) {
			_, _ = w.Write(zip[:12])
		}, false, 0},
		"an encoding nobody asked for is left alone": {"br", func(w http.ResponseWriter) {
			_, _ = w.Write([]byte("\x8b\x03\x80"))
		}, true, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			srv, got := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if tt.encoding != "" {
					w.Header().Set("Content-Encoding", tt.encoding)
				}
				tt.write(w)
			})
			a := newSender(t, SenderConfig{}).Send(t.Context(), refreshOf(srv.URL))
			if a.Complete != tt.complete || len(a.Body) != tt.length || (a.Err == nil) != tt.complete || got.count() != 1 {
				t.Errorf("got %v, err %v", a, a.Err)
			}
			if o := Classify(a, nil).Outcome; !tt.complete && o != grant.Lost {
				t.Errorf("outcome %v, want lost", o)
			}
		})
	}
}

func TestWhatFailsBeforeTheFirstByteIsNotSent(t *testing.T) {
	refused := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return "http://" + l.Addr().String()
	}()
	untrusted, got := serveTLS(t)
	plain, plainGot := serve(t, answerJSON(200, goodTokens))
	tests := map[string]struct {
		change func(*Request)
		says   string
	}{
		"nobody listens":                      {func(r *Request) { r.TokenURL = refused }, "connection refused"},
		"the certificate is not trusted":      {func(r *Request) { r.TokenURL = untrusted.URL }, "does not know"},
		"the server does not speak TLS":       {func(r *Request) { r.TokenURL = strings.Replace(plain.URL, "http:", "https:", 1) }, "TLS"},
		"the address is private":              {func(r *Request) { r.TokenURL = "https://10.1.2.3/token" }, "not public"},
		"the address is a cloud's metadata":   {func(r *Request) { r.TokenURL = "https://169.254.169.254/token" }, "not public"},
		"the address is private inside IPv6":  {func(r *Request) { r.TokenURL = "https://[::ffff:10.1.2.3]/token" }, "not public"},
		"the endpoint is not encrypted":       {func(r *Request) { r.TokenURL = "http://id.example/" + testSecret }, "https"},
		"the endpoint is not a URL":           {func(r *Request) { r.TokenURL = "://" + testSecret }, "absolute URL"},
		"the send deadline has passed":        {func(r *Request) { r.NotAfter = time.Now().Add(-time.Second) }, "deadline"},
		"client authentication is not chosen": {func(r *Request) { r.Client.Auth = "" }, "client_auth"},
		"the client has no id":                {func(r *Request) { r.Client.ID = "" }, "client_id"},
		"the private key is not one":          {func(r *Request) { r.Client.Auth = PrivateKeyJWT }, "PEM"},
		"the encoding is not known":           {func(r *Request) { r.Encoding = "xml" }, "encoding"},
	}
	s := newSender(t, SenderConfig{})
	for name, tt := range tests {
		for _, fresh := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := refreshOf(plain.URL)
				r.Fresh = fresh
				tt.change(&r)
				a := s.Send(t.Context(), r)
				if a.Sent || a.Complete || a.Err == nil || !strings.Contains(a.Err.Error(), tt.says) {
					t.Errorf("got %v, err %v, want an error about %q", a, a.Err, tt.says)
				}
				if o := Classify(a, nil).Outcome; o != grant.NotSent {
					t.Errorf("outcome %v, want not_sent", o)
				}
				noCanary(t, a.Err)
			})
		}
	}
	if got.count()+plainGot.count() != 0 {
		t.Error("a request arrived")
	}
}

// serveTLS runs an HTTPS server whose handshake errors stay out of the log.
func serveTLS(t *testing.T) (*httptest.Server, *seen) {
	t.Helper()
	got := &seen{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.add(r)
		answerJSON(200, goodTokens)(w, r)
	}))
	srv.Config.ErrorLog = discard()
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, got
}

func TestHTTPSIsHTTP1AndVerified(t *testing.T) {
	srv, got := serveTLS(t)
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	s := newSender(t, SenderConfig{RootCAs: roots})
	for _, fresh := range []bool{false, false, true} {
		r := refreshOf(srv.URL)
		r.Fresh = fresh
		a := s.Send(t.Context(), r)
		if a.Status != 200 || !a.Complete {
			t.Fatalf("got %v, err %v", a, a.Err)
		}
		if req, _ := got.last(t); req.ProtoMajor != 1 {
			t.Errorf("spoke %s", req.Proto)
		}
	}
}

func TestACallerWhoLeavesDoesNotCancelTheRequest(t *testing.T) {
	srv, got := serve(t, answerJSON(200, goodTokens))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := newSender(t, SenderConfig{}).Send(ctx, refreshOf(srv.URL))
	if a.Status != 200 || got.count() != 1 {
		t.Errorf("got %v, err %v", a, a.Err)
	}
}

func TestSwitchingProtocolsEndsTheExchange(t *testing.T) {
	srv, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		c := hijack(t, w)
		_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
		_, _ = c.Read(make([]byte, 1)) // until the client hangs up
		c.Close()
	})
	a := newSender(t, SenderConfig{}).Send(t.Context(), refreshOf(srv.URL))
	if a.Status != 101 || Classify(a, nil).Outcome != grant.Unclear {
		t.Errorf("got %v, err %v", a, a.Err)
	}
}

func TestSendLeavesTheParametersAlone(t *testing.T) {
	srv, _ := serve(t, answerJSON(200, goodTokens))
	r := refreshOf(srv.URL)
	r.Client.Auth = Post
	newSender(t, SenderConfig{}).Send(t.Context(), r)
	if diff := cmp.Diff(RefreshParams(secret.New(testRefresh)), r.Params); diff != "" {
		t.Errorf("params (-want +got):\n%s", diff)
	}
}

func TestParamsOmitWhatIsEmpty(t *testing.T) {
	got := CodeParams(secret.New("c"), "", secret.String{})
	if diff := cmp.Diff("code=c&grant_type=authorization_code", got.Encode()); diff != "" {
		t.Error(diff)
	}
	got = CodeParams(secret.New("c"), "https://a.example/cb", secret.New("v"))
	if diff := cmp.Diff("code=c&code_verifier=v&grant_type=authorization_code&redirect_uri=https%3A%2F%2Fa.example%2Fcb", got.Encode()); diff != "" {
		t.Error(diff)
	}
}
