package whole

import (
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// Filler puts rows that were read one kind after the other under the connections
// they belong to. What belongs to none of them is left out: it is a [Fault].
// Grants go before what is under them, and links before authorizations.
type Filler struct {
	batch       []Business
	connections map[string]int
	grants      map[string][2]int // the connection's and the grant's place
	links       map[string][2]int
}

// NewFiller fills a batch of connections.
func NewFiller(batch []Business) *Filler {
	f := &Filler{batch: batch, connections: make(map[string]int, len(batch)),
		grants: make(map[string][2]int, len(batch)), links: make(map[string][2]int)}
	for i, b := range batch {
		f.connections[b.Connection.ID] = i
	}
	return f
}

// Grant adds a grant to its connection.
func (f *Filler) Grant(g Grant) {
	if i, ok := f.connections[g.ConnectionID]; ok {
		f.grants[g.ID] = [2]int{i, len(f.batch[i].Grants)}
		f.batch[i].Grants = append(f.batch[i].Grants, g)
	}
}

// Orphan adds an orphan to its grant.
func (f *Filler) Orphan(o store.Orphan) {
	if g := f.grant(o.GrantID); g != nil {
		g.Orphans = append(g.Orphans, o)
	}
}

// Location adds a location to its grant.
func (f *Filler) Location(l grant.Location) {
	if g := f.grant(l.GrantID); g != nil {
		g.Locations = append(g.Locations, l)
	}
}

// Credentials adds a version to its grant.
func (f *Filler) Credentials(grantID string, c Credentials) {
	if g := f.grant(grantID); g != nil {
		g.Credentials = append(g.Credentials, c)
	}
}

func (f *Filler) grant(id string) *Grant {
	at, ok := f.grants[id]
	if !ok {
		return nil
	}
	return &f.batch[at[0]].Grants[at[1]]
}

// Link adds a link to its connection.
func (f *Filler) Link(l grant.Link) {
	if i, ok := f.connections[l.ConnectionID]; ok {
		f.links[l.ID] = [2]int{i, len(f.batch[i].Links)}
		f.batch[i].Links = append(f.batch[i].Links, Link{Link: l})
	}
}

// Authorization adds an authorization to its link.
func (f *Filler) Authorization(a grant.Authorization) {
	if at, ok := f.links[a.LinkID]; ok {
		l := &f.batch[at[0]].Links[at[1]]
		l.Authorizations = append(l.Authorizations, a)
	}
}
