package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// secrets are values that must not be seen where they do not belong. They are
// collected while a test runs and looked for at its end.
type secrets struct {
	mu    sync.Mutex
	kinds map[string]string // by value: what it is
}

// window is how many bytes of a secret are looked up at once; shorter secrets
// could be found where they are not.
const window = 8

// add takes in a secret. The same one may come again.
func (s *secrets) add(kind, value string) {
	if len(value) < 2*window {
		return // a cut-off piece too short to mean anything
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = map[string]string{}
	}
	if _, known := s.kinds[value]; !known {
		s.kinds[value] = kind
	}
}

// count counts the secrets of a kind.
func (s *secrets) count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, k := range s.kinds {
		if k == kind {
			n++
		}
	}
	return n
}

// form is a way to write a secret.
type form struct{ kind, name, text string }

// forms are the ways a secret could be written by accident.
func forms(kind, value string) []form {
	all := []form{
		{kind, "as it is", value},
		{kind, "in hex", hex.EncodeToString([]byte(value))},
	}
	for shift := range 3 { // base64 looks different at every third place
		padded := []byte(strings.Repeat("\x00", shift) + value)
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(padded)[[3]int{0, 2, 3}[shift]:]
			if len(padded)%3 != 0 {
				text = text[:len(text)-1] // what follows would change it
			}
			all = append(all, form{kind, "in base64", text})
		}
	}
	if text := url.QueryEscape(value); text != value {
		all = append(all, form{kind, "escaped", text})
	}
	if dot := strings.LastIndexByte(value, '.'); dot >= 0 && len(value)-dot > 2*window {
		all = append(all, form{kind, "by its last part", value[dot+1:]}) // a JWT's signature
	}
	return all
}

// scanner looks for secrets in bytes.
type scanner map[[window]byte][]form

// scanner returns a scanner for everything collected, but for the kinds that
// belong where it looks.
func (s *secrets) scanner(but ...string) scanner {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := scanner{}
	for value, kind := range s.kinds {
		if slices.Contains(but, kind) {
			continue
		}
		for _, f := range forms(kind, value) {
			start := [window]byte([]byte(f.text))
			found[start] = append(found[start], f)
		}
	}
	return found
}

// hits tells what is found in text.
func (s scanner) hits(text []byte) []string {
	var all []string
	for i := range max(0, len(text)-window+1) {
		for _, f := range s[[window]byte(text[i:])] {
			if !bytes.HasPrefix(text[i:], []byte(f.text)) {
				continue
			}
			hit := fmt.Sprintf("%s %s", f.kind, f.name)
			if !slices.Contains(all, hit) {
				all = append(all, hit)
			}
		}
	}
	return all
}

// wiretap stands before a provider and takes in every secret that passes.
type wiretap struct {
	next http.Handler
	seen *secrets
}

var tokenMember = regexp.MustCompile(`"(access_token|refresh_token|id_token)"\s*[:=]\s*"([^"]+)`)

// ServeHTTP implements [http.Handler].
func (w *wiretap) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sent, _ := url.ParseQuery(string(body))
	for name, kind := range map[string]string{
		"code": "code", "code_verifier": "verifier", "refresh_token": "refresh_token", "token": "refresh_token", "client_secret": "client secret",
	} {
		w.seen.add(kind, sent.Get(name))
	}
	w.seen.add("state", r.URL.Query().Get("state"))
	tee := &tee{ResponseWriter: rw}
	w.next.ServeHTTP(tee, r)
	if to, err := url.Parse(rw.Header().Get("Location")); err == nil {
		w.seen.add("code", to.Query().Get("code"))
	}
	for _, m := range tokenMember.FindAllStringSubmatch(tee.written.String(), -1) {
		w.seen.add(m[1], m[2])
	}
}

// tee keeps what is written.
type tee struct {
	http.ResponseWriter
	written bytes.Buffer
}

// Write implements [io.Writer].
func (t *tee) Write(b []byte) (int, error) {
	t.written.Write(b)
	return t.ResponseWriter.Write(b)
}

// Unwrap lets faults reach the connection.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func TestScannerFindsPlantedSecrets(t *testing.T) {
	const secret = "canary: 4f9c/+K~zzPz.Aq0"
	var s secrets
	s.add("client secret", secret)
	s.add("access_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLW9mLWEtY2FuYXJ5")
	noise := strings.Repeat("\x00 some text\n", 1000)
	planted := map[string]string{
		"as it is":         secret,
		"in hex":           hex.EncodeToString([]byte("before " + secret + " after")),
		"in a query":       "https://id.example/?x=" + url.QueryEscape(secret) + "&y=1",
		"the signature":    "c2lnbmF0dXJlLW9mLWEtY2FuYXJ5",
		"in a JWT's place": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLW9mLWEtY2FuYXJ5",
	}
	for _, before := range []string{"", "a", "ab", "id:"} {
		planted["in base64 after "+before] = base64.StdEncoding.EncodeToString([]byte(before + secret + "!"))
		planted["in URL base64 after "+before] = base64.RawURLEncoding.EncodeToString([]byte(before + secret))
	}
	for name, text := range planted {
		if len(s.scanner().hits([]byte(noise+text+noise))) == 0 {
			t.Errorf("a secret planted %s is not found", name)
		}
	}
	if hits := s.scanner().hits([]byte(noise + "canary: 4f9c/+K~zzPz.Aq1")); len(hits) != 0 {
		t.Errorf("found %v where there is none", hits)
	}
	if hits := s.scanner("client secret").hits([]byte(secret)); len(hits) != 0 {
		t.Errorf("found %v where it belongs", hits)
	}
}
