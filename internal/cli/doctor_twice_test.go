package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store/whole"
)

// pages is a database of which only the connections are read.
type pages struct {
	list  []whole.Business
	fails int // the read that fails, from 1; 0 for none
	reads int
}

var errPages = errors.New("the disk is gone")

func (p *pages) Businesses(_ context.Context, after string, limit int) ([]whole.Business, error) {
	if p.reads++; p.reads == p.fails {
		return nil, errPages
	}
	at := slices.IndexFunc(p.list, func(b whole.Business) bool { return b.Connection.ID > after })
	if at < 0 {
		return nil, nil
	}
	return p.list[at:min(at+limit, len(p.list))], nil
}

// connect adds a connection with a grant for each login.
func (p *pages) connect(key, app string, state grant.Reason, logins ...string) {
	b := whole.Business{Connection: grant.Connection{ID: fmt.Sprintf("conn_%05d", len(p.list)), App: app, Key: key}}
	for _, l := range logins {
		b.Grants = append(b.Grants, whole.Grant{Grant: grant.Grant{Status: grant.Status{State: state.State(), Reason: state}, Identity: grant.Identity{Subject: l}}})
	}
	p.list = append(p.list, b)
}

func TestLoginsBehindMoreThanOneConnectionAreCounted(t *testing.T) {
	p := &pages{}
	p.connect("cafe", "k", grant.OK, "anna")
	p.connect("bistro", "k", grant.OK, "ben", "carla")
	p.connect("other app", "x", grant.OK, "anna")
	p.connect("gone", "k", grant.Revoked, "anna")
	p.connect("ended", "k", grant.DisconnectedByUs, "ben")
	p.connect("nameless", "k", grant.OK, "")
	p.connect("nameless too", "k", grant.OK, "")
	p.connect("cafe again", "k", grant.Network, "anna")
	p.connect("third cafe", "k", grant.OK, "anna")
	p.connect("both", "k", grant.OK, "ben", "carla")
	for n := range 2500 { // more than a page
		p.connect(fmt.Sprint("town_", n), "k", grant.OK, fmt.Sprint("user_", n))
	}
	p.connect("far away", "k", grant.OK, "user_0")

	got, err := countTwice(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	want := twice{read: 2511, connections: 7, examples: []string{"cafe@k and cafe again@k", "cafe@k and third cafe@k", "bistro@k and both@k"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(twice{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestWhatWasReadBeforeAFailureCounts(t *testing.T) {
	p := &pages{fails: 2}
	for n := range 2000 {
		p.connect(fmt.Sprint("town_", n), "k", grant.OK, fmt.Sprint("user_", n/2))
	}
	got, err := countTwice(t.Context(), p)
	if !errors.Is(err, errPages) || got.read != 1000 || got.connections != 1000 {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(got.examples) != 3 || !strings.Contains(got.examples[0], "town_0@k and town_1@k") {
		t.Errorf("examples are %q", got.examples)
	}
}
