// Package simulation runs the real engine, store, journal and wire for days of
// fake time among providers of every rotation, while a seeded schedule of faults
// does its worst, and has package oracle judge what came of it. It also checks
// recorded histories of concurrent calls against a model with porcupine, and
// breaks the engine in every way it can to see whether the judge notices.
//
// Everything runs on the clock of a synctest bubble, and everything that is
// drawn at random depends on the seed, except how long the engine spreads its
// retries: a seed repeats its schedule and, but for a request more or less, what
// comes of it. There are long runs of many grants (DaysOfFaults) and many small
// worlds of few (SmallWorlds).
//
//	go test ./internal/simulation                          a few of each
//	EVERGRANT_SEED=7 go test -run DaysOfFaults …            one of them again
//	EVERGRANT_SEED=7 EVERGRANT_SEEDS=50 go test -run …      fifty of them, from the seventh
//	EVERGRANT_SEEDS=10000 go test -run SmallWorlds …        the small worlds of every change
//	EVERGRANT_SIM=4 go test -timeout 0 …                    four runs of 2,100 grants and two days, and
//	                                                        thousands of histories
package simulation
