package sandbox

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"
)

// refuseByFault does what a fault in the way of processing does to the grant.
func (s *Sandbox) refuseByFault(c *call) answer {
	texts := &c.series.texts
	name := c.faults.before.Fault.Fault
	c.entry.Outcome = name
	refused := &texts.deadToken
	if c.req.grantType == "authorization_code" {
		refused = &texts.badCode
	}
	switch name {
	case "invalid_client":
		return answer{err: &texts.badClient}
	case "invalid_grant_once":
		return answer{err: refused}
	case "revoke":
		if c.grant != nil {
			c.grant.kill(deathFault, s.now())
		}
		if cd := s.w.codes[c.req.code]; cd != nil {
			cd.used = true
		}
		return answer{err: refused}
	}
	return answer{}
}

// deliver writes the answer, or what the faults leave of it.
func (s *Sandbox) deliver(w http.ResponseWriter, c *call, a answer) {
	if f := c.faults.before; f != nil && a.err == nil {
		s.deliverTrouble(w, c.series, f)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	status := http.StatusOK
	var content map[string]any
	if a.err != nil {
		status = a.err.status
		content = c.refusal(a.err)
		if status == http.StatusUnauthorized && c.series.basic {
			h.Set("WWW-Authenticate", `Basic realm="`+c.series.name+`"`)
		}
	} else {
		content = c.series.reply(a.pair)
		distort(content, c.faults)
	}
	body, err := json.Marshal(content)
	if err != nil { // strings and numbers always marshal
		s.log.Error("token answer not encoded", "err", err)
	}
	s.send(w, status, body, c.faults.hides())
}

// refusal is the body of an error answer (RFC 6749 section 5.2), or the series'
// own.
func (c *call) refusal(e *oauthError) map[string]any {
	if c.series.refusal != nil {
		return c.series.refusal(c, e)
	}
	return map[string]any{"error": e.code, "error_description": e.description}
}

// send writes the body the way the fault leaves it.
func (s *Sandbox) send(w http.ResponseWriter, status int, body []byte, fault string) {
	switch fault {
	case "lose_answer":
		hangUp(w, "", false)
		return
	case "bad_json":
		body = bytes.ReplaceAll(body, []byte(":"), []byte("="))
	}
	whole := len(body)
	if fault == "truncate" {
		body = body[:whole/2] // the server closes the connection, because more was promised
	}
	w.Header().Set("Content-Length", strconv.Itoa(whole))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// distort changes the members of a good answer.
func distort(content map[string]any, p picked) {
	life, _ := content["expires_in"].(int64)
	for _, f := range p.changed {
		switch f.Fault.Fault {
		case "no_expires_in":
			delete(content, "expires_in")
		case "expires_in_string":
			content["expires_in"] = strconv.FormatInt(life, 10)
		case "expires_in_float":
			content["expires_in"] = float64(life) - 0.5
		}
	}
}

// captivePortal is what stands between a machine and the network in a hotel.
const captivePortal = `<!doctype html><html><head><title>Welcome to Harbour Hotel Wi-Fi</title></head>
<body><h1>Welcome!</h1><p>Please accept the terms to use the network.</p><form method="post" action="/accept"><button>Accept</button></form></body></html>
`

// deliverTrouble answers a request that was not processed.
func (s *Sandbox) deliverTrouble(w http.ResponseWriter, sr *series, f *activeFault) {
	h := w.Header()
	switch f.Fault.Fault {
	case "reset":
		hangUp(w, "HTTP/1.1 200 OK\r\nContent-Type: applica", true)
	case "status_500":
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"error":"unknown_error"}`))
	case "status_503":
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("<html><body><h1>503 Service Unavailable</h1>No server is available to handle this request.</body></html>\n"))
	case "status_429":
		after, err := strconv.Atoi(f.Match["retry_after"])
		if err != nil {
			after = 5
		}
		h.Set("Retry-After", sr.retryAfterText(s.Now(), time.Duration(after)*time.Second))
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"message":"API rate limit exceeded"}`))
	case "html":
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(captivePortal))
	default: // lose_request
		hangUp(w, "", false)
	}
}

// hangUp closes the connection after at most a few bytes of an answer, by TCP
// reset if asked. Where there is no connection of its own (HTTP/2, a test's
// recorder) it ends the handler with [http.ErrAbortHandler].
func hangUp(w http.ResponseWriter, before string, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if before != "" {
		_, _ = conn.Write([]byte(before))
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
