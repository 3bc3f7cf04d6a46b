package client

import (
	"context"
	"net/http"
	"time"

	"github.com/evergrant/evergrant"
)

// VerifiedGrant is what asking the provider's API with a grant's token came to.
type VerifiedGrant struct {
	ID        string    `json:"id"`
	Result    string    `json:"result"` // works, refused, unchecked or unavailable
	Reason    string    `json:"reason"` // the grant's
	Locations int       `json:"locations"`
	CheckedAt time.Time `json:"checked_at"`
}

// Verify asks the provider's API with the token of each live grant whether it
// works.
func (c *Client) Verify(ctx context.Context, ref evergrant.Ref) ([]VerifiedGrant, error) {
	type grants struct {
		Grants []VerifiedGrant `json:"grants"`
	}
	out, err := answer[grants](ctx, c, about("verify", http.MethodPost, ref, "verify"))
	return out.Grants, err
}
