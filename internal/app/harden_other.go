//go:build !linux

package app

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps this process's memory, which holds tokens, out of core files. It
// holds for the rest of the process's life, so only main programs call it.
func Harden() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("keep memory out of core files: %w", err)
	}
	return nil
}
