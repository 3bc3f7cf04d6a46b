package manager

import (
	"encoding/json"

	"github.com/evergrant/evergrant/internal/grant"
)

// Follow takes in events of the log that other processes sharing the store have
// made. Its own are among them and change nothing. It does not block, so a store
// may call it with what it publishes.
func (m *Manager) Follow(events []grant.Event) {
	for _, e := range events {
		if e.Connection != "" {
			m.follow(e)
		}
	}
	m.engine.Follow(events)
}

// follow brings the cache up to date with an event of a connection.
func (m *Manager) follow(e grant.Event) {
	switch e.Type {
	case grant.LinkCreated, grant.LinkOpened, grant.LinkFailed, grant.LinkHelpRequested, grant.AuthorizationStarted:
	case grant.GrantRefreshed:
		if v, ok := version(e); ok && m.cache.knows(e.Connection, e.Grant, v) {
			return // this process's own, or read since
		}
		m.renewedElsewhere(e)
	case grant.GrantRefreshFailed, grant.ConnectionDegraded, grant.ConnectionRecovered, grant.ConnectionDeadlineNear,
		grant.ConnectionScopeChanged, grant.ConnectionLocationsChanged:
		m.cache.suspect(e.Connection)
	default:
		m.cache.drop(e.Connection)
	}
}

// renewedElsewhere has a connection read again. Where the access token before
// ends with its renewal, what is cached is not even good for want of better.
func (m *Manager) renewedElsewhere(e grant.Event) {
	if m.policy(e.App).OldAccessToken == grant.RevokedNow {
		m.cache.drop(e.Connection)
		return
	}
	m.cache.suspect(e.Connection)
}

// version is the one that a renewal's event tells of.
func version(e grant.Event) (v grant.Version, ok bool) {
	epoch, ok1 := whole(e.Data["epoch"])
	seq, ok2 := whole(e.Data["seq"])
	return grant.Version{Epoch: epoch, Seq: seq}, ok1 && ok2
}

// whole is a number of an event's data, which may come from the database.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case float64:
		return int64(n), true
	case json.Number:
		i, err := n.Int64()
		return i, err == nil
	}
	return 0, false
}

// Changed takes in that another process has changed a connection without an
// event, or, of "", that such changes may have been missed. It does not block.
func (m *Manager) Changed(connectionID string) {
	if connectionID == "" {
		m.cache.doubt()
		return
	}
	m.cache.suspect(connectionID)
}
