package proxy

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestWhatAnAnswerSaysAboutTheLimit(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		status  int
		header  map[string]string
		wait    time.Duration
		spacing time.Duration
	}{
		{name: "nothing", status: 200, spacing: limitSpacing},
		{name: "a 429 that says nothing", status: 429, wait: time.Second, spacing: limitSpacing},
		{name: "seconds", status: 429, header: map[string]string{"Retry-After": "7"}, wait: 7 * time.Second, spacing: limitSpacing},
		{name: "a date", status: 429, header: map[string]string{"Retry-After": "Sat, 21 Nov 2026 12:00:30 GMT"}, wait: 30 * time.Second, spacing: limitSpacing},
		{name: "a date that has passed", status: 429, header: map[string]string{"Retry-After": "Sat, 21 Nov 2026 11:00:00 GMT"}, wait: limitSpacing, spacing: limitSpacing},
		{name: "longer than is believed", status: 429, header: map[string]string{"Retry-After": "99999999"}, wait: time.Hour, spacing: limitSpacing},
		{name: "nonsense", status: 429, header: map[string]string{"Retry-After": "-NaN"}, wait: time.Second, spacing: limitSpacing},
		{name: "a bucket with room", status: 200, header: map[string]string{"X-LS-Api-Bucket-Level": "12.5/90", "X-LS-Api-Drip-Rate": "2"}, spacing: limitSpacing},
		{name: "a bucket that is full", status: 200, header: map[string]string{"X-LS-API-BUCKET-LEVEL": "93/90", "X-LS-API-DRIP-RATE": "2"}, wait: 2 * time.Second, spacing: 500 * time.Millisecond},
		{name: "a burst", status: 200, header: map[string]string{"X-LS-API-Burst-Level": "20/20"}, wait: time.Second, spacing: limitSpacing},
		{name: "a bucket of nothing", status: 200, header: map[string]string{"X-LS-Api-Bucket-Level": "1/0"}, spacing: limitSpacing},
		{name: "a window that ends at a time", status: 200, header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(now.Unix()+9, 10)}, wait: 9 * time.Second, spacing: limitSpacing},
		{name: "a window that ends in seconds", status: 200, header: map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "9"}, wait: 9 * time.Second, spacing: limitSpacing},
		{name: "a window with room", status: 200, header: map[string]string{"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "9"}, spacing: limitSpacing},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			for name, value := range c.header {
				h.Set(name, value)
			}
			wait, spacing := reached(&http.Response{StatusCode: c.status, Header: h}, now)
			if wait != c.wait || spacing != c.spacing {
				t.Errorf("wait %v, spacing %v; want %v, %v", wait, spacing, c.wait, c.spacing)
			}
		})
	}
}

func TestLimitsThatHavePassedAreForgotten(t *testing.T) {
	var l limits
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	refused := &http.Response{StatusCode: 429, Header: http.Header{}}
	for i := range 3 * manyLimits {
		l.learn(strconv.Itoa(i), now.Add(time.Duration(i)*time.Millisecond), refused)
	}
	if n := len(l.all); n > 2*manyLimits {
		t.Errorf("%d limits are kept", n)
	}
	later := now.Add(time.Hour)
	if at, ok := l.reserve("1", later, later); !ok || !at.Equal(later) {
		t.Errorf("%v, %v", at, ok)
	}
	l.learn("12287", later, &http.Response{StatusCode: 200, Header: http.Header{}})
	if !l.until("12287").IsZero() {
		t.Error("an answer within the limit does not end it")
	}
}
