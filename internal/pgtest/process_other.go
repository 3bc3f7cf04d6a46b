//go:build unix && !linux

package pgtest

import "syscall"

// endWithParent is for Linux; elsewhere the server of a test that is killed stays.
func endWithParent(*syscall.SysProcAttr) {}
