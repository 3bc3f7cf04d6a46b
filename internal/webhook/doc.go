// Package webhook delivers the event log to addresses that want to hear of it,
// signed as Standard Webhooks says (https://www.standardwebhooks.com).
//
// The log is the truth and a webhook is a cursor into it. Who holds a webhook's
// lease in the store sends it one event after the other, in the order of the log,
// and moves the cursor when an event was accepted:
//
//	lease ─▶ next event ─▶ POST ─┬─ 2xx ─────────────▶ cursor moves ─▶ next event
//	  ▲                          ├─ 410 ─────────────▶ disabled
//	  │                          └─ anything else ───▶ wait, longer each time ─▶ the same event
//	  └── ends a minute after its holder died           for [GiveUpAfter] at most, then disabled
//
// A process that dies between the answer and the move of the cursor leaves the
// event to be sent again: every event is delivered at least once, and its
// webhook-id, which is the event's, tells a repetition. No event is passed over,
// whatever happens; a webhook that was disabled goes on where it stopped when it
// is enabled again, unless it is told to begin elsewhere.
package webhook
