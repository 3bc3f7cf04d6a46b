package api_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

func TestATokenSaysForHowLongItMayBeKept(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	for _, passed := range []time.Duration{0, 10 * time.Minute} {
		k.Advance(passed)
		a := k.Do(admin, "GET", tokenPath, "")
		left := int(expect(t, a, 200)["expires_in"].(float64))
		keep, err := strconv.Atoi(a.Header.Get("Evergrant-Use-For"))
		if err != nil || keep >= left || keep < left/2 {
			t.Errorf("%s later: use for %q of %d s, %v", passed, a.Header.Get("Evergrant-Use-For"), left, err)
		}
	}
}

func TestATokenThatMayBeReplacedIsNotToBeKept(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	token := expect(t, k.Do(admin, "GET", tokenPath, ""), 200)
	k.Advance(time.Second)
	a := k.Do(admin, "POST", tokenPath+"/reject", `{"fingerprint":"`+token["fingerprint"].(string)+`"}`)
	again := k.Do(admin, "POST", tokenPath+"/reject", `{"fingerprint":"`+expect(t, a, 200)["fingerprint"].(string)+`"}`)
	if expect(t, again, 200); a.Header.Get("Evergrant-Use-For") == "" || again.Header.Get("Evergrant-Use-For") != "" {
		t.Errorf("a new token is to be kept for %q, one that was rejected at once for %q", a.Header.Get("Evergrant-Use-For"), again.Header.Get("Evergrant-Use-For"))
	}
}
