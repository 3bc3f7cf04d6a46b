// Package grant is the domain: connections and their grants, the states they
// pass through and why, what a provider does to a refresh token that is used
// (its rotation policy), what one token request came to (its outcome), and the
// arithmetic that turns these into what to do next and when.
//
// It is pure: it reads no clock, opens no file and knows no database. Every
// function takes the moment it speaks about.
//
// States of a connection and of a grant:
//
//	pending ──connect──▶ connected ⇄ degraded ──▶ needs_reauthorization
//	   ▲                     │           │              │        │
//	   │                     └───────────┴── disconnect─┘        │
//	 link                                   ▼                    │
//	                                  disconnected ──reconnect───┤
//	                     connected ◀─────────reconnect───────────┘
//
// A connection's state is derived from its grants by [Derive]: it is connected
// while at least one of them is.
package grant
