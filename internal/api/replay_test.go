package api_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/api/apitest"
)

const once = "Idempotency-Key: 5f2a"

func TestARepeatedRequestIsNotDoneAgain(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	const body = `{"ref":"biz_1@k-series"}`
	first := k.Do(admin, "POST", "/v1/links", body, once)
	again := k.Do(admin, "POST", "/v1/links", body, once)
	if first.Body != again.Body || first.Status != 201 || again.Status != 201 || again.Header.Get("Location") != first.Header.Get("Location") {
		t.Errorf("%d %s, then %d %s", first.Status, first.Body, again.Status, again.Body)
	}
	if first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Error("a replay is not marked, or something else is")
	}
	if first.Header.Get("Request-Id") == again.Header.Get("Request-Id") {
		t.Error("two requests have one id")
	}
	expectProblem(t, k.Do(admin, "POST", "/v1/links", `{"ref":"biz_2@k-series"}`, once), 422, "idempotency_key_reused")

	other := k.Key([]access.Scope{access.Links}, nil, nil)
	if a := k.Do(other, "POST", "/v1/links", body, once); a.Header.Get("Idempotent-Replayed") != "" || a.Body == first.Body {
		t.Error("one caller's answer was told to another")
	}
	expect(t, k.Do(admin, "POST", "/v1/connections", `{"ref":"biz_9@k-series"}`, once), 201) // another path

	k.Advance(24 * time.Hour)
	if a := k.Do(admin, "POST", "/v1/links", body, once); a.Header.Get("Idempotent-Replayed") != "" || a.Status != 201 {
		t.Errorf("after a day: %d, replayed %q", a.Status, a.Header.Get("Idempotent-Replayed"))
	}
}

func TestAFailureIsNotRemembered(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	expectProblem(t, k.Do(admin, "POST", "/v1/links", `{"ref":"biz_1@none"}`, once), 400, "invalid_request")
	expect(t, k.Do(admin, "POST", "/v1/links", `{"ref":"biz_1@k-series"}`, once), 201)
}

func TestConcurrentRepetitionsAreDoneOnce(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	answers := make([]apitest.Answer, 16)
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() { answers[i] = k.Do(admin, "POST", "/v1/links", `{"ref":"biz_1@k-series"}`, once) })
	}
	wait.Wait()
	replayed := 0
	for _, a := range answers {
		if a.Status != 201 || a.Body != answers[0].Body {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		if a.Header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	if links := data(t, k.Do(admin, "GET", "/v1/links", "")); len(links) != 1 || replayed != len(answers)-1 {
		t.Errorf("%d links, %d replays", len(links), replayed)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	k := apitest.New(t, apitest.Options{})
	replayed := func(i int) bool {
		a := k.Do(admin, "POST", "/v1/connections", `{"ref":"biz_1@k-series"}`, fmt.Sprintf("Idempotency-Key: k%d", i))
		if a.Status > 201 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return a.Header.Get("Idempotent-Replayed") == "true"
	}
	const most = 10000
	for i := range most + 1 {
		if replayed(i) {
			t.Fatalf("request %d is a replay", i)
		}
	}
	if replayed(0) {
		t.Error("the oldest request is still remembered")
	}
	if !replayed(most) {
		t.Error("the newest request is forgotten")
	}
}
