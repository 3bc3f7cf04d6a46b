package lightspeed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/evergrant/evergrant/provider"
)

// apiR is the version of the API that is asked.
const apiR = "/API/V3"

// discoverR reads the account of a token and those of its shops that are not
// archived (endpoints/Account, endpoints/Shop). An employee without the right to
// list shops still tells the account.
func discoverR(ctx context.Context, api provider.API) (provider.Reach, error) {
	body, err := get(ctx, api, apiR+"/Account.json")
	if err != nil {
		return provider.Reach{}, fmt.Errorf("read account: %w", err)
	}
	account, err := decodeAccount(body)
	if err != nil {
		return provider.Reach{}, fmt.Errorf("read account: %w", err)
	}
	whose := provider.Reach{Account: account.id, Name: account.name}

	var g gatherer
	path := apiR + "/Account/" + account.id + "/Shop.json"
	asked := make(map[string]bool) // cursors; one that comes again is the last
	for query := ""; ; {
		if len(asked) == mostPages {
			return provider.Reach{}, fmt.Errorf("list shops: more than %d pages", mostPages)
		}
		asked[query] = true
		body, err := get(ctx, api, path+query)
		var status *statusError
		if errors.As(err, &status) && status.status == http.StatusForbidden {
			return whose, provider.ErrNoDiscovery // introduction/errors: a scope or a right is missing
		}
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list shops: %w", err)
		}
		page, err := decodeShops(body)
		if err != nil {
			return provider.Reach{}, fmt.Errorf("list shops: %w", err)
		}
		account.locations = page.shops
		if _, err := g.add([]business{account}); err != nil {
			return provider.Reach{}, fmt.Errorf("list shops: %w", err)
		}
		if page.next == "" || asked[page.next] {
			whose.Locations = g.reach.Locations
			return whose, nil
		}
		query = page.next
	}
}

// decodeAccount reads Account.json, in which Account is an object. An account
// without an id that makes sense is an error: nothing could be asked about it.
func decodeAccount(body []byte) (business, error) {
	var doc struct {
		Account some[struct {
			ID   scalar `json:"accountID"`
			Name scalar `json:"name"`
		}] `json:"Account"`
	}
	if err := object(body, &doc); err != nil {
		return business{}, err
	}
	if len(doc.Account) != 1 || doc.Account[0].ID.id() == "" {
		return business{}, errShape
	}
	return business{id: doc.Account[0].ID.id(), name: doc.Account[0].Name.text()}, nil
}

// shopPage is one page of Shop.json.
type shopPage struct {
	shops []location
	next  string // query of the next page with its "?", "" for none
}

// decodeShops reads a page of Shop.json. All scalars are text. Shop is an array,
// an object where there is only one, and absent or "" where there is none. Shops
// without an id that makes sense are left out, and archived ones, which are not
// sent unless asked for (introduction/parameters).
func decodeShops(body []byte) (shopPage, error) {
	var doc struct {
		Attributes some[struct {
			Next scalar `json:"next"`
		}] `json:"@attributes"`
		Shop some[struct {
			ID       scalar `json:"shopID"`
			Name     scalar `json:"name"`
			Archived scalar `json:"archived"`
		}] `json:"Shop"`
	}
	if err := object(body, &doc); err != nil {
		return shopPage{}, err
	}
	var p shopPage
	for _, s := range doc.Shop {
		if s.Archived != "true" {
			p.shops = appendLocation(p.shops, s.ID, s.Name)
		}
	}
	// next is an absolute URL (introduction/pagination). Only its query is used, so
	// that no answer can send the token to another host or path.
	for _, a := range doc.Attributes {
		if u, err := url.Parse(string(a.Next)); err == nil && u.RawQuery != "" {
			p.next = "?" + u.Query().Encode()
		}
	}
	return p, nil
}

// some reads a JSON array or the one object that stands for an array of one;
// anything else is an empty array.
type some[T any] []T

// UnmarshalJSON implements [json.Unmarshaler].
func (s *some[T]) UnmarshalJSON(b []byte) error {
	*s = nil
	switch {
	case bytes.HasPrefix(b, []byte("[")):
		return json.Unmarshal(b, (*[]T)(s))
	case bytes.HasPrefix(b, []byte("{")):
		var one T
		if err := json.Unmarshal(b, &one); err != nil {
			return err
		}
		*s = some[T]{one}
	}
	return nil
}
