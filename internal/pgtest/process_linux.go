package pgtest

import "syscall"

// endWithParent has the kernel end a child when the test that started it is
// killed.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }
