package connect

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"
)

//go:embed web/style.css
var styleCSS string

// stylePath is where the stylesheet is. No token looks like its first part.
const stylePath = "/connect/_/style.css"

// stylesheet is the one stylesheet with the brand's colour in front.
type stylesheet struct {
	css  []byte
	href string // changes with the content, so that it may be cached for good
}

// newStylesheet makes the stylesheet for a colour that parseColour accepts.
func newStylesheet(colour string) stylesheet {
	c, err := parseColour(colour)
	if err != nil {
		c, _ = parseColour(defaultColour)
	}
	css := fmt.Appendf(nil, ":root { --brand: #%02x%02x%02x; --ink: %s; --edge: %s; }\n%s", c[0], c[1], c[2], c.ink(), c.edge(), styleCSS)
	sum := sha256.Sum256(css)
	return stylesheet{css, stylePath + "?" + hex.EncodeToString(sum[:6])}
}

func (s *Service) serveStyle(w http.ResponseWriter, r *http.Request) {
	s.guard(w.Header(), "")
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.style.css))
}
