package config

import (
	"github.com/evergrant/evergrant/internal/connect"
)

// readLogo reads the file that the brand's logo is in.
func (c *Config) readLogo(ps *Problems, src Source) {
	if c.Brand.Logo == "" {
		return
	}
	file, err := src.ReadFile(c.Brand.Logo)
	if err != nil {
		c.add(ps, "brand.logo", "cannot be read: %v", err)
		return
	}
	if c.logo, err = connect.NewLogo(file); err != nil {
		c.add(ps, "brand.logo", "%s %v", c.Brand.Logo, err)
	}
}

// Logo returns the brand's logo, the zero one if it has none.
func (c *Config) Logo() connect.Logo { return c.logo }
