// Package whole reads a store from one end to the other: to copy it into
// another, to look for faults in it, and to say what it is. The stores implement
// [Reader]; packages move and audit work on nothing else.
//
// What is read belongs to nobody's request. It is taken in batches, each of them
// as of one moment, so that a million grants need no more memory than a thousand
// and a server may go on beside it.
package whole

import (
	"context"
	"encoding/json"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Business is a connection with everything that goes when it goes.
type Business struct {
	Connection grant.Connection
	Grants     []Grant // by id
	Links      []Link  // by id
}

// Grant is a grant with everything under it.
type Grant struct {
	grant.Grant
	Credentials []Credentials    // of its current version, then of the one before; none after a disconnection
	Orphans     []store.Orphan   // by attempt, of every epoch
	Locations   []grant.Location // by id
}

// Credentials are the sealed credentials of one version of a grant.
type Credentials struct {
	Version grant.Version
	Attempt string // that brought them, "" for a consent
	Sealed  []byte
}

// Link is a link with the authorizations that began at it, by id.
type Link struct {
	grant.Link
	Authorizations []grant.Authorization
}

// Event is an event as the log keeps it.
type Event struct {
	grant.Event                 // without an ID and without Data
	Number      int64           // see package eventid
	Data        json.RawMessage // nil for none
}

// Rest is what belongs to no connection: little, however large the store.
type Rest struct {
	DataKey DataKey
	Keys    []access.Key // by id
	Paused  map[string]store.Pause
	// Webhooks are by id, without what was sent to them.
	Webhooks []store.Webhook
}

// Counts are how many rows of each kind there are.
type Counts struct {
	Connections    int64 `json:"connections"`
	Grants         int64 `json:"grants"`
	Credentials    int64 `json:"credentials"` // versions, at most two a grant
	Orphans        int64 `json:"orphans"`
	Locations      int64 `json:"locations"`
	Links          int64 `json:"links"`
	Authorizations int64 `json:"authorizations"`
	Events         int64 `json:"events"`
	Keys           int64 `json:"api_keys"`
}

// Rows is their sum.
func (c Counts) Rows() int64 {
	return c.Connections + c.Grants + c.Credentials + c.Orphans + c.Locations + c.Links + c.Authorizations + c.Events + c.Keys
}

// Add adds a business.
func (c *Counts) Add(b Business) {
	c.Connections++
	c.Grants += int64(len(b.Grants))
	for _, g := range b.Grants {
		c.Credentials += int64(len(g.Credentials))
		c.Orphans += int64(len(g.Orphans))
		c.Locations += int64(len(g.Locations))
	}
	c.Links += int64(len(b.Links))
	for _, l := range b.Links {
		c.Authorizations += int64(len(l.Authorizations))
	}
}

// Fault is something in a database that cannot be.
type Fault struct {
	Subject string // the id of what it is about
	What    string
}

// Reader reads a whole store and changes nothing in it. Each method sees one
// moment. Its methods are not safe for concurrent use.
type Reader interface {
	// Businesses returns the first limit connections, ordered by id, whose id is
	// after the one given; fewer only at the end.
	Businesses(ctx context.Context, after string, limit int) ([]Business, error)
	// Events returns the first limit events after a number, in the order of the log;
	// fewer only at the end.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)
	Rest(ctx context.Context) (Rest, error)
	Counts(ctx context.Context) (Counts, error)
	// Faults calls found for everything that the rows of this database say of each
	// other and that cannot be, such as a row that belongs to nothing. An error of
	// found ends it and is returned.
	Faults(ctx context.Context, found func(Fault) error) error
}

// DataKey is the wrapped data keyset of a store, as [store.DataKeys] for who may
// read it and not wrap it again: what is set is forgotten.
type DataKey struct {
	MasterID string
	Wrapped  []byte // nil in a new store
}

// DataKey implements [store.DataKeys].
func (k DataKey) DataKey(context.Context) (string, []byte, error) {
	if k.Wrapped == nil {
		return "", nil, store.ErrNotFound
	}
	return k.MasterID, k.Wrapped, nil
}

// SetDataKey implements [store.DataKeys]. It keeps nothing.
func (k DataKey) SetDataKey(context.Context, []byte, string, []byte) error { return nil }
