package evergrant

import (
	"context"

	"golang.org/x/oauth2"
)

// TokenSource returns the connection's tokens as an [oauth2.TokenSource], for
// libraries that ask for one. Every call of its Token asks src, with ctx; it
// keeps nothing, because src does. Where you can, use [NewHTTPClient]: it also
// reports tokens that the API rejects.
func TokenSource(ctx context.Context, src Source, ref Ref) oauth2.TokenSource {
	return tokenSource{ctx, src, ref}
}

type tokenSource struct {
	ctx context.Context // oauth2.TokenSource has no parameter for it
	src Source
	ref Ref
}

func (s tokenSource) Token() (*oauth2.Token, error) {
	t, err := s.src.Token(s.ctx, s.ref, nil)
	if err != nil {
		return nil, err
	}
	return t.OAuth2(), nil
}
