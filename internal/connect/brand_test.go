package connect

import (
	"testing"

	"pgregory.net/rapid"
)

func TestButtonTextIsReadableOnEveryColour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rgb{rapid.Uint8().Draw(t, "r"), rapid.Uint8().Draw(t, "g"), rapid.Uint8().Draw(t, "b")}
		ink := 0.0
		if c.ink() == "#fff" {
			ink = 1
		}
		l := c.luminance()
		if ratio := (max(l, ink) + 0.05) / (min(l, ink) + 0.05); ratio < 4.5 {
			t.Errorf("contrast of %s on %v is %.2f", c.ink(), c, ratio)
		}
	})
}

func TestABrandIsChecked(t *testing.T) {
	for name, b := range map[string]Brand{
		"a colour by name":  {Colour: "green"},
		"a short colour":    {Colour: "#fff"},
		"a colour with CSS": {Colour: "#fff;}x{"},
		"an address":        {SupportEmail: "Help <help@acme.example>"},
	} {
		if b.Check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if err := (Brand{Name: "Acme", SupportEmail: "help@acme.example", Colour: "#0B5D3b"}).Check(); err != nil {
		t.Error(err)
	}
	if got := (Brand{}).withDefaults("https://connect.acme.example"); got.Name != "connect.acme.example" || got.Colour != defaultColour {
		t.Errorf("defaults = %+v", got)
	}
}
