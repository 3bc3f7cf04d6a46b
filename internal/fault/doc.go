// Package fault lets a test end, stop or fail the program exactly where it
// would hurt most. The code calls [Point] beside each of its durable steps; the
// tests of e2e build the program with the tag faults and say in its environment
// what is to happen where. Without the tag, which is how the program ships, a
// point is an empty function that the compiler removes.
//
// EVERGRANT_FAULT lists faults, separated by commas:
//
//	[after>]point=action[@n[+[duration]]]
//
// The action happens at the n-th time that the point is reached, at the first
// if n is not given, and with + at every time from then on, or for as long as
// the duration says. With after, times are counted from the moment another
// point has been reached. The actions are
//
//	kill   the process ends as by kill -9
//	pause  the process stops as by SIGSTOP, until somebody continues it
//	error  Point returns an error, where its caller can have one
//	panic  Point panics, as a bug of ours would
//
// For example, "refresh.before-commit>store.before-commit=kill" ends the
// process just before the COMMIT of a refresh, and with =error@1+3s the store is
// down from there on for three seconds. What happens is told in a line on
// standard error before it does, so that a test can tell a fault that was
// survived from one that never happened.
package fault
