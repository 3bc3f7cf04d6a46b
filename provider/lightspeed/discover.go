package lightspeed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/provider"
)

// Bounds of what discovery reads.
const (
	pageSize      = 1000 // the default and the largest page of /f/data/businesses
	mostPages     = 100
	mostLocations = 100_000
)

// reservationScope is how the scope of a reservation platform begins; its code
// follows.
const reservationScope = "reservation-"

// discover reads the businesses and locations that the approving user can see.
// Which call lists them depends on the scope; some scopes have none. A call that
// this user may not make, whatever the scope says, leaves it to the next.
func discover(ctx context.Context, api provider.API) (provider.Reach, error) {
	var calls []func(context.Context, provider.API) (provider.Reach, error)
	scopes := strings.Fields(api.Scope)
	if slices.Contains(scopes, "financial-api") {
		calls = append(calls, financial)
	}
	if slices.Contains(scopes, "orders-api") {
		calls = append(calls, orders)
	}
	for _, s := range scopes {
		if code, ok := strings.CutPrefix(s, reservationScope); ok && scalar(code).id() != "" {
			calls = append(calls, func(ctx context.Context, api provider.API) (provider.Reach, error) {
				return reservations(ctx, api, code)
			})
		}
	}
	err := provider.ErrNoDiscovery
	for _, call := range calls {
		var reach provider.Reach
		if reach, err = call(ctx, api); err == nil {
			return reach, nil
		}
		var status *statusError
		if !errors.As(err, &status) || status.status != http.StatusForbidden {
			break
		}
	}
	return provider.Reach{}, err
}

// financial reads /f/data/businesses page by page. The links in its answers
// point at a host of old and are never followed: the next page's address is
// made here.
func financial(ctx context.Context, api provider.API) (provider.Reach, error) {
	var g gatherer
	for page := range mostPages {
		q := url.Values{"page": {strconv.Itoa(page)}, "size": {strconv.Itoa(pageSize)}}
		body, err := get(ctx, api, "/f/data/businesses?"+q.Encode())
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list businesses: %w", err)
		}
		p, err := decodeFinancial(body)
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list businesses: %w", err)
		}
		fresh, err := g.add(p.businesses)
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list businesses: %w", err)
		}
		// A server that answers the same page for ever brings nothing fresh.
		if fresh == 0 || len(p.businesses) < pageSize && !p.more {
			return g.reach, nil
		}
	}
	return provider.Reach{}, fmt.Errorf("list businesses: more than %d pages", mostPages)
}

// orders reads /o/op/data/businesses, which is not paged.
func orders(ctx context.Context, api provider.API) (provider.Reach, error) {
	body, err := get(ctx, api, "/o/op/data/businesses")
	if err != nil {
		return provider.Reach{}, fmt.Errorf("list businesses: %w", err)
	}
	businesses, err := decodeOrders(body)
	if err != nil {
		return provider.Reach{}, fmt.Errorf("list businesses: %w", err)
	}
	var g gatherer
	if _, err := g.add(businesses); err != nil {
		return provider.Reach{}, fmt.Errorf("list businesses: %w", err)
	}
	return g.reach, nil
}

// reservations reads the locations that a reservation platform may serve, of
// businesses that are not named. Nobody has any is 404 (https://api-docs.lsk.lightspeed.app).
func reservations(ctx context.Context, api provider.API, code string) (provider.Reach, error) {
	var g gatherer
	path := "/reservation/api/1/user/platform/" + url.PathEscape(code) + "/business-locations?"
	for page := range mostPages {
		q := url.Values{"page": {strconv.Itoa(page)}, "size": {strconv.Itoa(pageSize)}}
		body, err := get(ctx, api, path+q.Encode())
		var status *statusError
		if errors.As(err, &status) && status.status == http.StatusNotFound {
			return g.reach, nil
		}
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list locations for reservations: %w", err)
		}
		list, err := decodeReservations(body)
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list locations for reservations: %w", err)
		}
		before := len(g.reach.Locations)
		if _, err := g.add([]business{{locations: list}}); err != nil {
			return provider.Reach{}, fmt.Errorf("list locations for reservations: %w", err)
		}
		if len(g.reach.Locations) == before || len(list) < pageSize {
			g.reach.Businesses = nil // the one without a name stood for all
			return g.reach, nil
		}
	}
	return provider.Reach{}, fmt.Errorf("list locations for reservations: more than %d pages", mostPages)
}

// gatherer collects pages into a reach, each business and each location once.
type gatherer struct {
	reach      provider.Reach
	businesses map[string]bool
	locations  map[string]bool
}

// add takes in a page and returns how many of its businesses were new.
func (g *gatherer) add(page []business) (fresh int, err error) {
	if g.businesses == nil {
		g.businesses, g.locations = make(map[string]bool), make(map[string]bool)
	}
	for _, b := range page {
		if !g.businesses[b.id] {
			g.businesses[b.id] = true
			fresh++
			g.reach.Businesses = append(g.reach.Businesses, b.id)
			if g.reach.Name == "" {
				g.reach.Name = b.name
			}
		}
		for _, l := range b.locations {
			if g.locations[l.id] {
				continue
			}
			if len(g.locations) == mostLocations {
				return fresh, fmt.Errorf("more than %d locations", mostLocations)
			}
			g.locations[l.id] = true
			g.reach.Locations = append(g.reach.Locations, grant.Location{
				ID: l.id, Name: l.name, BusinessID: b.id, BusinessName: b.name,
			})
		}
	}
	return fresh, nil
}
