//go:build !faults

package fault_test

import (
	"testing"

	"github.com/evergrant/evergrant/internal/fault"
)

func TestWhatShipsHasNoFaults(t *testing.T) {
	t.Setenv("EVERGRANT_FAULT", "a=error@1+")
	if err := fault.Point("a"); err != nil {
		t.Errorf("a build without the tag obeys the environment: %v", err)
	}
}
