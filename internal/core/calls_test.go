package core

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// call sends a request to a handler in memory.
func call(t *testing.T, h http.HandlerFunc, method string, body io.Reader) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://in-process/x?y=1", body)
	if err != nil {
		t.Fatal(err)
	}
	return (&http.Client{Transport: &calls{h: h}}).Do(req)
}

func TestACallArrivesAsARequestDoes(t *testing.T) {
	t.Parallel()
	res, err := call(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if r.RequestURI != "/x?y=1" || r.Host != "in-process" || string(b) != "ping" || err != nil {
			t.Errorf("%s at %s: %q, %v", r.RequestURI, r.Host, b, err)
		}
		w.Header().Set("X-Early", "1")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "1")
		_, _ = io.WriteString(w, "pong")
	}, http.MethodPost, strings.NewReader("ping"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusTeapot || res.Header.Get("X-Early") != "1" || res.Header.Get("X-Late") != "" || string(b) != "pong" || err != nil {
		t.Errorf("answer is %s %v %q, %v", res.Status, res.Header, b, err)
	}
}

func TestAnswersWithoutABodyHaveNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method string
		status       int
	}{
		{"HEAD", http.MethodHead, http.StatusOK},
		{"not modified", http.MethodGet, http.StatusNotModified},
		{"a handler that does nothing", http.MethodGet, http.StatusOK},
	} {
		res, err := call(t, func(w http.ResponseWriter, _ *http.Request) {
			if tt.name != "a handler that does nothing" {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, "dropped")
			}
		}, tt.method, nil)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if b, err := io.ReadAll(res.Body); res.StatusCode != tt.status || len(b) > 0 || err != nil {
			t.Errorf("%s: %s %q, %v", tt.name, res.Status, b, err)
		}
		_ = res.Body.Close()
	}
}

func TestBothDirectionsStreamAtOnce(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	res, err := call(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := errors.Join(control.EnableFullDuplex(), control.SetWriteDeadline(time.Unix(1, 0)), control.Flush()); err != nil {
			t.Error(err)
		}
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			_, _ = io.WriteString(w, "got "+lines.Text()+"\n")
		}
	}, http.MethodPost, reader)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answers := bufio.NewReader(res.Body)
	for _, line := range []string{"one", "two"} {
		if _, err := io.WriteString(writer, line+"\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := answers.ReadString('\n'); got != "got "+line+"\n" {
			t.Errorf("answer is %q, %v", got, err)
		}
	}
	_ = writer.Close()
	if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

func TestACutOffAnswerIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := call(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, http.MethodGet, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("before the answer: %v", err)
	}
	res, err := call(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}, http.MethodGet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after half of it: %q, %v", b, err)
	}
}

func TestACallObeysItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &calls{h: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/begun" {
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
			time.Sleep(time.Minute) // it takes its time to notice
		})}
		for _, path := range []string{"/waits", "/begun"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://in-process"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			res, err := c.RoundTrip(req)
			if path == "/begun" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
			}
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("%s ended after %s with %v", path, time.Since(began), err)
			}
			cancel()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close did not wait: %v", err)
		}
		if err := c.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestClosingTheBodyEndsTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &calls{h: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, "more"); err != nil {
					return
				}
			}
		})}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://in-process/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if err := c.close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.RoundTrip(req); !errors.Is(err, errClosed) {
			t.Errorf("a call after the end: %v", err)
		}
	})
}
