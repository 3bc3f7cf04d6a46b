package app

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Harden keeps this process's memory, which holds tokens, out of core files and
// away from debuggers of the same user. It holds for the rest of the process's
// life, so only main programs call it.
func Harden() error {
	err := errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
	if err != nil {
		return fmt.Errorf("keep memory out of core files: %w", err)
	}
	return nil
}
