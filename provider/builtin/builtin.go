// Package builtin lists the providers that Evergrant knows.
package builtin

import (
	"slices"

	"github.com/evergrant/evergrant/provider"
	"github.com/evergrant/evergrant/provider/documented"
	"github.com/evergrant/evergrant/provider/lightspeed"
)

// Recipes returns the built-in recipes by name. The map is the caller's.
func Recipes() map[string]provider.Recipe {
	m := make(map[string]provider.Recipe)
	for _, r := range slices.Concat(
		[]provider.Recipe{lightspeed.K(), lightspeed.K1(), lightspeed.R(), lightspeed.X(), provider.Generic()}, documented.Recipes(),
	) {
		m[r.Name] = r
	}
	return m
}
