package grant

import (
	"maps"
	"slices"
)

// Reasons returns every reason and flag.
func Reasons() []Reason { return slices.Sorted(maps.Keys(reasons)) }
