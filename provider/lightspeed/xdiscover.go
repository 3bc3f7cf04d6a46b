package lightspeed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/evergrant/evergrant/provider"
)

// apiX is the version of the API that is asked. Versions that are dates end after
// a year; this one does not (docs/versioning-strategy).
const apiX = "/api/2.0"

// discoverX reads the retailer's outlets, which needs outlets:read, and its name,
// which needs retailer:read (https://x-series-api.lightspeedhq.com/reference).
// Outlets belong to the retailer by its domain_prefix, as an identity does.
func discoverX(ctx context.Context, api provider.API) (provider.Reach, error) {
	scopes := strings.Fields(api.Scope)
	retailer := business{id: api.Variables[domainPrefix]}
	if slices.Contains(scopes, "retailer:read") {
		name, err := retailerName(ctx, api)
		if err != nil {
			return provider.Reach{}, fmt.Errorf("read retailer: %w", err)
		}
		retailer.name = name
	}
	whose := provider.Reach{Name: retailer.name}
	if !slices.Contains(scopes, "outlets:read") {
		return whose, provider.ErrNoDiscovery
	}
	var g gatherer
	query, after := "", uint64(0)
	for range mostPages {
		body, err := get(ctx, api, apiX+"/outlets"+query)
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list outlets: %w", err)
		}
		page, err := decodeOutlets(body)
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list outlets: %w", err)
		}
		retailer.locations = page.outlets
		if _, err := g.add([]business{retailer}); err != nil {
			return provider.Reach{}, fmt.Errorf("list outlets: %w", err)
		}
		// Versions grow. The page after the last is empty; one that does not lead on
		// is taken for it (docs/pagination).
		if page.max <= after {
			whose.Locations = g.reach.Locations
			return whose, nil
		}
		after = page.max
		query = "?" + url.Values{"after": {strconv.FormatUint(after, 10)}}.Encode()
	}
	return provider.Reach{}, fmt.Errorf("list outlets: more than %d pages", mostPages)
}

// retailerName reads /retailer. A token that may not read it, for which a second
// scope is needed, leaves the retailer nameless.
func retailerName(ctx context.Context, api provider.API) (string, error) {
	body, err := get(ctx, api, apiX+"/retailer")
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusForbidden {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var doc struct {
		Data struct {
			Name scalar `json:"name"`
		} `json:"data"`
	}
	if err := object(body, &doc); err != nil {
		return "", err
	}
	return doc.Data.Name.text(), nil
}

// outletPage is one page of /outlets.
type outletPage struct {
	outlets []location
	max     uint64 // the highest version in it; 0 for an empty page
}

// decodeOutlets reads a page of /outlets. Outlets without an id that makes sense
// and deleted ones are left out.
func decodeOutlets(body []byte) (outletPage, error) {
	var doc struct {
		Data []struct {
			ID        scalar          `json:"id"`
			Name      scalar          `json:"name"`
			DeletedAt json.RawMessage `json:"deleted_at"`
		} `json:"data"`
		Version struct {
			Max scalar `json:"max"`
		} `json:"version"`
	}
	if err := object(body, &doc); err != nil {
		return outletPage{}, err
	}
	var p outletPage
	for _, o := range doc.Data {
		if at := string(o.DeletedAt); at == "" || at == "null" || at == `""` {
			p.outlets = appendLocation(p.outlets, o.ID, o.Name)
		}
	}
	if len(doc.Data) > 0 {
		// A version that is no number does not lead on.
		p.max, _ = strconv.ParseUint(string(doc.Version.Max), 10, 64)
	}
	return p, nil
}
