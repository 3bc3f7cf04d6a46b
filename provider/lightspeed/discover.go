package lightspeed

import (
	"context"
	"fmt"
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

// discover reads the businesses and locations that the approving user can see.
// Which call lists them depends on the scope; some scopes have none.
func discover(ctx context.Context, api provider.API) (provider.Reach, error) {
	scopes := strings.Fields(api.Scope)
	switch {
	case slices.Contains(scopes, "financial-api"):
		return financial(ctx, api)
	case slices.Contains(scopes, "orders-api"):
		return orders(ctx, api)
	}
	return provider.Reach{}, provider.ErrNoDiscovery
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
