package api

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// worthGzip is the length from which an answer is compressed: what is shorter
// fits into one packet either way.
const worthGzip = 1400

// varyEncoding is shared by all answers that may be compressed; nobody writes to
// it.
var varyEncoding = []string{"Accept-Encoding"}

// send writes an answer to a GET, compressed if it is long and the caller takes
// that. Nothing else is ever compressed: tokens, and what is told once when it is
// made, are in answers of their own, because the length of a secret compressed
// beside something a stranger wrote tells about the secret (BREACH).
func (s *server) send(c *call, body []byte) {
	header := c.w.Header()
	header["Vary"] = varyEncoding
	if s.worthZipping(c, body) {
		header.Set("Etag", zipped(header.Get("Etag")))
		body = s.compress(body)
		header.Set("Content-Encoding", "gzip")
	}
	writeBody(c.w, c.status, body)
}

// worthZipping reports whether an answer is sent compressed.
func (s *server) worthZipping(c *call, body []byte) bool {
	return len(body) >= worthGzip && takesGzip(c.r.Header)
}

// compress returns the body in the format of gzip (RFC 1952).
func (s *server) compress(body []byte) []byte {
	var out bytes.Buffer
	z, ok := s.zips.Get().(*gzip.Writer)
	if !ok {
		z = gzip.NewWriter(&out)
	}
	z.Reset(&out)
	_, _ = z.Write(body) // a buffer takes everything
	_ = z.Close()
	s.zips.Put(z)
	return out.Bytes()
}

// takesGzip reports whether a caller accepts gzip (RFC 9110 section 12.5.3). What
// is not well formed is no consent.
func takesGzip(h http.Header) bool {
	rest := false // what * says
	for _, line := range h["Accept-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "x-gzip":
				return weighs(weight)
			case "*":
				rest = weighs(weight)
			}
		}
	}
	return rest
}

// weighs reports whether a weight such as q=0.5 is more than nothing; none is 1.
func weighs(weight string) bool {
	weight = strings.ToLower(strings.TrimSpace(weight))
	if weight == "" {
		return true
	}
	q, err := strconv.ParseFloat(strings.TrimPrefix(weight, "q="), 64)
	return err == nil && q > 0
}
