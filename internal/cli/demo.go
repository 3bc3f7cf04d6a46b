package cli

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// demoBusiness is a business of the demo and what its merchant does.
type demoBusiness struct {
	key, name string
	app       string
	email     string // who logs in at the sandbox
	does      demoDeed
}

// demoDeed is what a demo merchant does with the link.
type demoDeed int

const (
	connects demoDeed = iota
	waits             // opens nothing
	declines
	removes // connects, and takes the access back
)

// The apps of the demo, one for each series.
const (
	appK = "k-series"
	appR = "r-series"
	appX = "x-series"
)

// demoBusinesses are the businesses of the demo: of every series one with
// several locations.
func demoBusinesses() []demoBusiness {
	return []demoBusiness{
		{"cafe_nord", "Café Nord", appK, "anna@cafe-nord.example", connects},
		{"harbour_group", "Harbour Group", appK, "olivia@harbour-group.example", connects},
		{"quay_bar", "Quay Bar", appK, "marc@harbour-group.example", connects},
		{"cafe_twins", "Café Twins", appK, "tess@cafe-twins.example", connects},
		{"bistro_soleil", "Bistro Soleil", appK, "bruno@bistro-soleil.example", connects},
		{"kaffeehaus_greta", "Kaffeehaus Greta", appK, "greta@kaffeehaus.example", connects},
		{"tapas_ivo", "Tapas Ivo", appK, "ivo@tapas-ivo.example", connects},
		{"corner_roastery", "Corner Roastery", appK, "mia@corner-roastery.example", connects},
		{"cafe_groundhog", "Café Groundhog", appK, "phil@cafe-groundhog.example", connects},
		{"fjord_kitchen", "Fjord Kitchen", appK, "finn@fjord-kitchen.example", waits},
		{"cafe_nowhere", "Café Nowhere", appK, "noah@cafe-nowhere.example", declines},
		{"trattoria_paola", "Trattoria Paola", appK, "paola@trattoria-paola.example", removes},
		{"velo_nord", "Velo Nord", appR, "ingrid@velo-nord.example", connects},
		{"pedal_shop", "Pedal Shop", appR, "pedro@pedal-shop.example", connects},
		{"net_only", "Net Only", appR, "nora@net-only.example", connects},
		{"fjord_wear", "Fjord Wear", appX, "sara@fjord-wear.example", connects},
		{"corner_books", "Corner Books", appX, "tom@corner-books.example", connects},
	}
}

func (b demoBusiness) ref() evergrant.Ref { return evergrant.Ref(b.key + "@" + b.app) }

// demoResult is a business with what became of it.
type demoResult struct {
	demoBusiness
	state string
	note  string
}

// setUpWithin bounds the set-up of the demo, which takes a second or two.
const setUpWithin = 60 * time.Second

// connectAll takes every business through its part: a link made through the API,
// and a merchant who follows it through the login and consent pages.
func (d *dev) connectAll(ctx context.Context) ([]demoResult, error) {
	ctx, cancel := context.WithTimeout(ctx, setUpWithin)
	defer cancel()
	businesses := demoBusinesses()
	results := make([]demoResult, len(businesses))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, b := range businesses {
		g.Go(func() error {
			note, err := d.play(each, b)
			if err != nil {
				return fmt.Errorf("demo business %s: %w", b.ref(), err)
			}
			results[i] = demoResult{demoBusiness: b, note: note}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	d.sandbox.Advance(devHeadStart)
	for i, b := range businesses {
		state, err := d.settled(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("demo business %s: %w", b.ref(), err)
		}
		results[i].state = state
		if b.does == connects {
			if results[i].note, err = d.reach(ctx, b); err != nil {
				return nil, fmt.Errorf("demo business %s: %w", b.ref(), err)
			}
		}
	}
	return results, nil
}

// play does what the business's merchant does. The note is for people.
func (d *dev) play(ctx context.Context, b demoBusiness) (note string, err error) {
	l, err := d.client.CreateLink(ctx, client.NewLink{Ref: b.ref(), BusinessName: b.name})
	if err != nil {
		return "", err
	}
	if b.does == waits {
		return "log in as " + b.email + ": " + l.URL, nil
	}
	visit := sandbox.Visit{Email: b.email, Decline: b.does == declines}
	final, _, err := visit.Follow(ctx, l.URL)
	if err != nil {
		return "", fmt.Errorf("follow its link: %w (stopped at %s)", err, final)
	}
	switch b.does {
	case declines:
		return "its merchant said no", nil
	case removes:
		d.sandbox.RevokeUser(b.email)
		// A refresh notices at once what the next scheduled one would.
		_, err := d.client.Refresh(ctx, b.ref())
		return "its access was removed in Lightspeed", err
	}
	return "", nil
}

// reach says how many locations a connected business has, if there are several.
func (d *dev) reach(ctx context.Context, b demoBusiness) (note string, err error) {
	c, err := d.client.Locations(ctx, b.ref())
	switch n := len(c.Locations); {
	case err != nil:
		return "", err
	case n == 0:
		return "no location", nil
	case n == 1:
		return "", nil
	default:
		return fmt.Sprintf("%d locations", n), nil
	}
}

// settled waits until a business is in the state its part ends in.
func (d *dev) settled(ctx context.Context, b demoBusiness) (string, error) {
	want := map[demoDeed]string{
		connects: "connected", waits: "pending", declines: "pending", removes: "needs_reauthorization",
	}[b.does]
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		c, err := d.client.Connection(ctx, b.ref())
		if err != nil {
			return "", err
		}
		if c.State == want {
			return c.State, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return "", fmt.Errorf("it is %s (%s) and not %s", c.State, c.Reason, want)
		}
	}
}
