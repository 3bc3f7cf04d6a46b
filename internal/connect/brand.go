package connect

import (
	"errors"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Brand is the developer's product as merchants know it.
type Brand struct {
	Name         string // "" means the host of the public address
	SupportEmail string
	SupportPhone string
	Colour       string // of buttons, as #rrggbb; "" means a quiet blue
	Logo         Logo   // above the name; none if it is zero
}

const defaultColour = "#1d4ed8"

// Check reports what is wrong with the brand, naming the configuration's field.
func (b Brand) Check() error {
	var errs []error
	if b.Colour != "" {
		if _, err := parseColour(b.Colour); err != nil {
			errs = append(errs, fmt.Errorf("brand.colour: %w", err))
		}
	}
	if b.SupportEmail != "" && (strings.Count(b.SupportEmail, "@") != 1 || strings.ContainsAny(b.SupportEmail, " <>\"\r\n")) {
		errs = append(errs, fmt.Errorf("brand.support.email: %q is not a plain address like help@acme.example", b.SupportEmail))
	}
	return errors.Join(errs...)
}

func (b Brand) withDefaults(public string) Brand {
	if strings.TrimSpace(b.Name) == "" {
		b.Name = host(public)
	}
	if _, err := parseColour(b.Colour); err != nil {
		b.Colour = defaultColour
	}
	return b
}

// Picture returns the logo's address, "" for none.
func (b Brand) Picture() template.URL { return b.Logo.url }

// Phone returns the phone number as a tel: address wants it.
func (b Brand) Phone() string {
	return strings.Map(func(r rune) rune {
		if r == '+' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, b.SupportPhone)
}

type rgb [3]uint8

func parseColour(s string) (rgb, error) {
	if len(s) == 7 && s[0] == '#' {
		if v, err := strconv.ParseUint(s[1:], 16, 24); err == nil {
			return rgb{uint8(v >> 16), uint8(v >> 8), uint8(v)}, nil
		}
	}
	return rgb{}, fmt.Errorf("%q is not a colour like #0b5d3b", s)
}

// ink returns black or white, whichever reads better on c. The better one
// always has a contrast of at least 4.5 (WCAG 2.2, 1.4.3).
func (c rgb) ink() string {
	if l := c.luminance(); (l+0.05)/0.05 > 1.05/(l+0.05) {
		return "#000"
	}
	return "#fff"
}

// luminance is WCAG's relative luminance.
func (c rgb) luminance() float64 {
	var l float64
	for i, weight := range [3]float64{0.2126, 0.7152, 0.0722} {
		v := float64(c[i]) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		l += weight * v
	}
	return l
}

// edge is the colour of the button's border: it keeps the button's shape
// visible where the brand's colour is close to the page's (WCAG 2.2, 1.4.11).
func (c rgb) edge() string {
	if l := c.luminance(); l > 0.6 || l < 0.03 {
		return "#767676"
	}
	return "transparent"
}
