// Package seal encrypts what the store and the spool keep: envelope encryption
// with Tink keysets. A data keyset (XAES-256-GCM: random 192-bit nonces, so no
// practical limit of messages) seals the credentials; a master key, which lives
// outside the database, wraps the data keyset.
//
// Every ciphertext is bound to its [Slot]. Moved to another row, table or
// version it does not open.
package seal

// Slot is the one place a ciphertext opens in. It is the associated data.
type Slot struct {
	Table      string // credentials, orphans, authorizations, spool, webhooks, cookies
	Row        string // the id of what it belongs to
	Epoch, Seq int64
}

// The tables.
const (
	Credentials    = "credentials"
	Orphans        = "orphans"
	Authorizations = "authorizations"
	Spool          = "spool"
	Webhooks       = "webhooks"
	Cookies        = "cookies" // which rest in browsers, not here
)
