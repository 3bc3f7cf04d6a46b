//go:build !faults

package fault

// Point is a place where a test may make the program fail. In this build it
// does nothing and returns nil.
func Point(string) error { return nil }
