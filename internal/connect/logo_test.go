package connect

import (
	"bytes"
	"image"
	"image/png"
	"strings"
	"testing"
)

const svg = `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="3"/></svg>`

func TestLogosArePicturesOfALimitedSize(t *testing.T) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file, want string // want is the error, or how the address begins
		fails      bool
	}{
		"an SVG":                       {svg, "data:image/svg+xml;base64,", false},
		"a PNG":                        {picture.String(), "data:image/png;base64,", false},
		"a PNG that is cut off":        {picture.String()[:12], "is not a PNG that can be read", true},
		"a GIF":                        {"GIF89a", "is neither a PNG nor an SVG", true},
		"nothing":                      {"", "is neither a PNG nor an SVG", true},
		"a page":                       {"<html><body/></html>", "is not an SVG that browsers show", true},
		"an SVG that no browser shows": {"<svg/>", `its root needs xmlns="http://www.w3.org/2000/svg"`, true},
		"an SVG with a broken end":     {svg + "<", "is neither a PNG nor an SVG that can be read", true},
		"a picture that is too large":  {svg + strings.Repeat(" ", mostLogo), "has more than 6 KiB", true},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := NewLogo([]byte(c.file))
			got := string(l.url)
			if err != nil {
				got = err.Error()
			}
			if (err != nil) != c.fails || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestALogoIsInThePageAndNothingIsAskedForIt(t *testing.T) {
	k := newKit(t, func(c *Config) {
		var err error
		if c.Brand.Logo, err = NewLogo([]byte(svg)); err != nil {
			t.Fatal(err)
		}
	})
	l := k.link("k-series", nil)
	_, body := k.get(k.browser(false), l.URL)
	if n := strings.Count(body, `<img src="data:image/svg&#43;xml;base64,`); n != 1 || !strings.Contains(body, `alt="" height="40">Acme Loyalty</p>`) {
		t.Errorf("%d pictures in %s", n, body)
	}
}

func FuzzLogo(f *testing.F) {
	f.Add([]byte(svg))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		l, err := NewLogo(file)
		if (err == nil) == (l.url == "") || strings.ContainsAny(string(l.url), `"'<> `) {
			t.Errorf("%q, %v", l.url, err)
		}
	})
}
