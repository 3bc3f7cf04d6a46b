// Package refresh keeps grants alive. It decides when a grant is renewed, sends
// the one request that does it, and sees to it that the answer is never lost.
//
// One refresh, from left to right; the words in brackets are the store's or the
// spool's durable steps:
//
//	admit ─▶ [open attempt] ─▶ send once ─▶ [spool] ─▶ classify ─┬─▶ granted ──▶ [commit] ─▶ publish ─▶ hand out
//	  │                                                          │                  └─ stale ─▶ [park]
//	  └─ draining, app refused, no slot, no spool room: later    ├─▶ not spent ─▶ [close], try again later
//	                                                             ├─▶ unknown ───▶ [hold], resend or probe by policy
//	                                                             └─▶ refused ───▶ [close], confirm ─▶ orphans ─▶ [die]
//
// Each app has a [lane]: its own loop, its own slots, rate, breaker and
// incident, so that one provider's trouble is nobody else's. A lane finds due
// grants through the store's index; there is no timer per grant and no scan.
// Waiting callers go first.
//
// Attempts left open by a process that died are found the same way: while an
// attempt is open its grant is due when the attempt may be settled. What that
// process had received is in the spool and is committed before anything is sent.
package refresh
