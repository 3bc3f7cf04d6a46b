package evergranttest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/evergrant/evergrant/sandbox"
)

// Break makes trouble at the provider, such as
//
//	e.Break(sandbox.Fault{Fault: "lose_answer", Times: 1})
//
// until it is used up, or Heal. Nothing happens before a request meets it: advance
// the clock.
func (e *Engine) Break(f sandbox.Fault) {
	e.t.Helper()
	in := map[string]any{"fault": f.Fault}
	if f.App != "" {
		in["app"] = f.App
	}
	if f.Times != 0 {
		in["times"] = f.Times
	}
	if f.For != 0 {
		in["for"] = f.For.String()
	}
	if f.Match != nil {
		in["match"] = f.Match
	}
	e.control(http.MethodPost, in)
}

// Heal ends all trouble made with Break.
func (e *Engine) Heal() {
	e.t.Helper()
	e.control(http.MethodDelete, nil)
}

// control asks the sandbox's control API, which says what is wrong with a fault.
func (e *Engine) control(method string, in any) {
	e.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		e.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	e.Sandbox.ServeHTTP(w, httptest.NewRequestWithContext(e.t.Context(), method, "/_sandbox/faults", bytes.NewReader(body)))
	if w.Code >= http.StatusBadRequest {
		e.t.Fatalf("evergranttest: %s", bytes.TrimSpace(w.Body.Bytes()))
	}
}

// timeless keeps deadlines, which handlers reckon by a clock that stands still,
// from the connection. One that is long past means to break off, and does.
type timeless struct{ http.ResponseWriter }

// Flush implements [http.Flusher].
func (w timeless) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// EnableFullDuplex is for [http.ResponseController].
func (w timeless) EnableFullDuplex() error {
	return http.NewResponseController(w.ResponseWriter).EnableFullDuplex()
}

// SetReadDeadline is for [http.ResponseController].
func (w timeless) SetReadDeadline(t time.Time) error {
	if t.Unix() > 1 {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
}

// SetWriteDeadline is for [http.ResponseController].
func (w timeless) SetWriteDeadline(time.Time) error { return nil }
