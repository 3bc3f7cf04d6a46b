// Package model explores, exhaustively, what can happen to one grant: two
// processes, each with a journal, one store, one provider of every rotation,
// two refreshes and a re-authorization, and every order of their steps with up
// to two faults among them. What an outcome means and how long an open attempt
// has to be left alone is asked of the code that ships, [grant.Policy]; what the
// store and the engine do is written again here, in the terms of package store
// and of ARCHITECTURE.md. storetest and the simulation hold the real ones to it.
//
// The model lets both processes run at once, as a store that serves several
// would; with SQLite's lock the second starts when the first is dead.
//
// What it assumes: a request is over half a second after its sender has gone; a
// process and the store come back within ten seconds, inside any grace window;
// what a disk has taken it keeps.
package model
