package proxy

import (
	"mime"
	"net/http"
	"strings"
)

// cleanRequest takes out of a request what is between the caller and us: who it
// is, where it came from, and what would have the API see another request than
// the one that was allowed. net/http/httputil has taken out what is hop by hop.
func cleanRequest(h http.Header) {
	for name := range h {
		switch {
		case strings.HasPrefix(name, "X-Forwarded"), strings.HasPrefix(name, "Proxy-"), strings.HasPrefix(name, "Evergrant-"):
			delete(h, name)
		}
	}
	for _, name := range []string{
		"Authorization", "Cookie", "Cookie2", "Expect", "Http2-Settings", "Referer",
		"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For", "True-Client-Ip",
		"Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Original-Host", "X-Host",
		"X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Original-Method",
		"X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
	} {
		delete(h, name)
	}
}

// cleanAnswer takes out of an answer what the API says to a browser about its own
// host, and every header that repeats the token.
func cleanAnswer(h http.Header, token string) {
	for _, name := range []string{
		"Set-Cookie", "Set-Cookie2", "Alt-Svc", "Clear-Site-Data", "Public-Key-Pins", "Strict-Transport-Security",
		"Request-Id", // ours names the request
	} {
		delete(h, name)
	}
	for name, values := range h {
		for _, v := range values {
			if token != "" && strings.Contains(v, token) {
				delete(h, name)
				break
			}
		}
	}
}

// isJSON reports whether a body is JSON and not encoded further.
func isJSON(h http.Header) bool {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return false
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"))
}
