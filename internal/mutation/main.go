// Command mutation tells how many small changes of a package its own tests
// notice: a comparison that includes its bound or not, or is turned round, a sum
// that is a difference, a sign, a count that goes the other way. It is for tests
// of our tests and does not ship.
//
//	go run ./internal/mutation -least 90 ./internal/grant
//
// All changes are compiled into one test program, each of which is made if the
// environment asks for it, so that trying one costs a run of the tests and no
// build. That is why it can try every one, those in the conditions of a switch
// too, which tools that go by coverage pass over: the conditions of a case are no
// statements. What it cannot change are constants, and lines of which a change
// does not compile, such as the joining of strings; it says how many.
//
// A change that makes the tests run twenty times as long as they do without it
// has been noticed.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	var (
		least      = flag.Float64("least", 90, "how many of 100 changes have to be noticed")
		since      = flag.String("since", "", "judge changes of lines that are not as they were in this commit by themselves too")
		leastSince = flag.Float64("least-since", 80, "how many of 100 changes of such lines have to be noticed")
	)
	flag.Parse()
	ok := true
	for _, folder := range flag.Args() {
		s, err := try(folder, *since)
		if err != nil {
			fmt.Fprintf(os.Stderr, "mutation: %s: %v\n", folder, err)
			os.Exit(2)
		}
		s.tell(os.Stdout, folder)
		ok = ok && s.all.atLeast(*least) && s.changed.atLeast(*leastSince)
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "mutation: want %.0f of 100 noticed, of changed lines %.0f\n", *least, *leastSince)
		os.Exit(1)
	}
}
