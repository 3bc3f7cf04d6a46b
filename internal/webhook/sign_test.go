package webhook

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/secret"
)

// TestTheSpecificationsExampleIsSignedAlike is the example that the libraries of
// Standard Webhooks are tested with.
func TestTheSpecificationsExampleIsSignedAlike(t *testing.T) {
	t.Parallel()
	got, err := Sign([]secret.String{secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}, "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("signature %q, %v; want %q", got, err, want)
	}
}

func TestWhatIsNoSigningSecretIsRefusedWithoutBeingQuoted(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsec_" + strings.Repeat("A", 100), "whsec_not base64 at all, though long enough!"} {
		if err := CheckSecret(secret.New(s)); err == nil || len(s) > 6 && strings.Contains(err.Error(), s[6:]) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if err := CheckSecret(NewSecret()); err != nil {
		t.Error(err)
	}
}

func FuzzSigningKeysAreWhatTheyEncode(f *testing.F) {
	for _, s := range []string{fileSecret, "whsec_", "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh", "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh", "whsec__-8=", "whsec_\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := signingKey(secret.New(s))
		if err != nil {
			if key != nil {
				t.Error("there is a key beside the error")
			}
			return
		}
		again, err := signingKey(secret.New(secretPrefix + base64.StdEncoding.EncodeToString(key)))
		if err != nil || string(again) != string(key) {
			t.Errorf("%x becomes %x, %v", key, again, err)
		}
	})
}

func TestWaitsGrowToAnHourAndAreSpread(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{-1: 5 * time.Second, 0: 5 * time.Second, 1: 5 * time.Second, 2: 10 * time.Second,
		10: 2560 * time.Second, 11: time.Hour, 12: time.Hour, 1000: time.Hour} {
		if got := Wait(n, 0.5); got != want {
			t.Errorf("after %d failures it waits %s, want %s", n, got, want)
		}
		if least, most := Wait(n, 0), Wait(n, 0.999999); least != want*8/10 || most <= want || most > want*12/10 {
			t.Errorf("after %d failures it waits %s to %s", n, least, most)
		}
	}
}

func FuzzRetryAfterIsBounded(f *testing.F) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"", "120", "-1", "99999999999", "Sun, 22 Nov 2026 12:05:00 GMT", "Sun, 22 Nov 1999 12:05:00 GMT", "1.5", " 7 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := retryAfter(http.Header{"Retry-After": {s}}, now); d < 0 || d > mostPatience {
			t.Errorf("%q asks for %s", s, d)
		}
	})
}

func TestRetryAfterIsUnderstoodInBothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{"": 0, "120": 2 * time.Minute, "Sun, 22 Nov 2026 12:05:00 GMT": 5 * time.Minute, "864000": mostPatience, "soon": 0} {
		if got := retryAfter(http.Header{"Retry-After": {s}}, now); got != want {
			t.Errorf("%q asks for %s, want %s", s, got, want)
		}
	}
}
