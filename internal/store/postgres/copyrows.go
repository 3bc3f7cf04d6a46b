package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/evergrant/evergrant/internal/store/whole"
)

// rows are on their way into a table.
type rows [][]any

// add adds a row. Its texts become ones that can be kept.
func (r *rows) add(values ...any) { *r = append(*r, clean(values)) }

// copyInto sends the rows.
func (r rows) copyInto(ctx context.Context, tx pgx.Tx, table string, columns ...string) error {
	if len(r) == 0 {
		return nil
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{schemaName, table}, columns, pgx.CopyFromRows(r)); err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	return nil
}

// businessRows are the rows of a batch of connections, by table.
type businessRows struct {
	addresses, connections, grantIDs, grants, credentials, orphans, locations, readings, links, authorizations rows
}

func newBusinessRows(batch []whole.Business) *businessRows {
	r := new(businessRows)
	for i := range batch {
		b := &batch[i]
		c := &b.Connection
		r.addresses.add(c.App, c.Key, c.ID)
		r.connections.add(c.ID, c.App, c.Key, c.Name, tagsDocument(c.Tags), words(c.RequiredLocations), words(c.Flags),
			string(c.Status.State), string(c.Status.Reason), stamp(c.Status.Since), stamp(c.Status.NextTryAt),
			stamp(c.CreatedAt), stamp(c.UpdatedAt))
		for j := range b.Grants {
			r.grant(c.Key, &b.Grants[j])
		}
		for j := range b.Links {
			r.link(c.Key, &b.Links[j])
		}
	}
	return r
}

func (r *businessRows) grant(key string, g *whole.Grant) {
	r.grantIDs.add(g.ID, g.ConnectionID)
	var attempt, owner, kind, opened any
	unknown := false
	if a := g.Attempt; a != nil {
		attempt, owner, kind, opened, unknown = a.ID, a.Owner, string(a.Kind), stamp(a.OpenedAt), a.Unknown
	}
	r.grants.add(g.ConnectionID, g.ID, g.App, key, words(g.Identity), g.Scope, stamp(g.ConsentAt), g.Version.Epoch, g.Version.Seq,
		stamp(g.IssuedAt), stamp(g.ExpiresAt), stamp(g.DeadlineAt), stamp(g.DueAt),
		string(g.Status.State), string(g.Status.Reason), stamp(g.Status.Since), stamp(g.Status.NextTryAt),
		g.Failures, g.Refusals, stamp(g.RefusedAt), attempt, owner, kind, opened, unknown)
	for _, v := range g.Credentials {
		r.credentials.add(g.ConnectionID, g.ID, v.Version.Seq%2, v.Version.Epoch, v.Version.Seq, v.Attempt, nonNil(v.Sealed))
	}
	for _, o := range g.Orphans {
		r.orphans.add(g.ConnectionID, g.ID, o.AttemptID, o.Of.Epoch, o.Of.Seq, nonNil(o.Sealed), stamp(o.ParkedAt))
	}
	for _, l := range g.Locations {
		var by *string
		if l.LostBy != nil {
			by = words(l.LostBy)
		}
		r.locations.add(g.ConnectionID, g.ID, l.ID, l.Name, l.BusinessID, l.BusinessName, stamp(l.SeenAt), stamp(l.LostAt), by)
	}
	if g.Status.State.Live() {
		// When it is to be read is not worth copying: those that consented first are
		// read first.
		r.readings.add(g.ConnectionID, g.ID, g.App, stamp(g.ConsentAt))
	}
}

func (r *businessRows) link(key string, l *whole.Link) {
	r.links.add(l.ID, l.ConnectionID, l.App, key, string(l.Purpose), nonNil(l.TokenHash), l.ShortCode, l.BusinessName, l.ReturnURL,
		l.Locale, l.ExpectBusiness, l.Landing, words(l.Locations), string(l.State), string(l.Problem),
		stamp(l.CreatedAt), stamp(l.ExpiresAt), stamp(l.CompletedAt))
	for _, a := range l.Authorizations {
		r.authorizations.add(a.ID, a.LinkID, nonNil(a.StateHash), nonNil(a.BrowserHash), a.Sealed, a.Issuer, a.RedirectURI,
			stamp(a.CreatedAt), stamp(a.ExpiresAt), stamp(a.UsedAt), a.Finished, string(a.Problem))
	}
}

// copyInto sends the rows, those that others point at first.
func (r *businessRows) copyInto(ctx context.Context, tx pgx.Tx) error {
	for _, t := range []struct {
		rows    rows
		table   string
		columns []string
	}{
		{r.addresses, "addresses", []string{"app", "key", "connection_id"}},
		{r.connections, "connections", []string{"id", "app", "key", "name", "tags", "required_locations", "flags",
			"state", "reason", "since", "next_try_at", "created_at", "updated_at"}},
		{r.grantIDs, "grant_ids", []string{"id", "connection_id"}},
		{r.grants, "grants", []string{"connection_id", "id", "app", "key", "identity", "scope", "consent_at", "epoch", "seq",
			"issued_at", "expires_at", "deadline_at", "due_at", "state", "reason", "since", "next_try_at", "failures", "refusals", "refused_at",
			"attempt", "attempt_owner", "attempt_kind", "attempt_opened_at", "attempt_unknown"}},
		{r.credentials, "credentials", []string{"connection_id", "grant_id", "slot", "epoch", "seq", "attempt", "sealed"}},
		{r.orphans, "orphans", []string{"connection_id", "grant_id", "attempt", "epoch", "seq", "sealed", "parked_at"}},
		{r.locations, "locations", []string{"connection_id", "grant_id", "id", "name", "business_id", "business_name", "seen_at", "lost_at", "lost_by"}},
		{r.readings, "readings", []string{"connection_id", "grant_id", "app", "due_at"}},
		{r.links, "links", []string{"id", "connection_id", "app", "key", "purpose", "token_hash", "short_code", "business_name", "return_url",
			"locale", "expect_business", "landing", "locations", "state", "problem", "created_at", "expires_at", "completed_at"}},
		{r.authorizations, "authorizations", []string{"id", "link_id", "state_hash", "browser_hash", "sealed", "issuer", "redirect_uri",
			"created_at", "expires_at", "used_at", "finished", "problem"}},
	} {
		if err := t.rows.copyInto(ctx, tx, t.table, t.columns...); err != nil {
			return err
		}
	}
	return nil
}
