// Package simulation runs the real engine, store, journal and wire for days of
// fake time among providers of every rotation, while a seeded schedule of faults
// does its worst, and has package oracle judge what came of it. It also checks
// recorded histories of concurrent calls against a model with porcupine.
//
// EVERGRANT_SEED=7 repeats the schedule of one run. EVERGRANT_SIM=20 makes the
// runs twenty times as many.
package simulation
