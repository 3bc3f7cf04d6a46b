// Package dashboard is what operators and support people see in a browser: who
// needs help and from whom, how each connection is and why, when grants would
// end, and how providers behave.
//
// Every page is rendered on the server, works without script and has no token in
// it. A page is a file: what it gathers, in Go, and what it shows, in web/. What
// it knows it has from the API, asked within the process, and from a few queries
// of the store that answer from an index. Who may come in is not decided here:
// see [Config.Who].
package dashboard
