package proxy

import (
	"bytes"
	"io"
	"net/http"
	"slices"

	"github.com/evergrant/evergrant/provider"
)

// mostPeeked bounds how much of an answer is read to find out whether it refuses
// the token.
const mostPeeked = 4 << 10

// refused reports whether an answer says that the token is not good any more:
// 401, or what the app's recipe knows of an API that says it in another way. The
// answer can still be read from its beginning.
func (e *exchange) refused(res *http.Response) bool {
	if res.StatusCode == http.StatusUnauthorized {
		return true
	}
	a := e.p.apps[e.handout.App]
	if a == nil || !slices.ContainsFunc(a.Recipe.Expired, func(r provider.Refusal) bool { return r.Status == res.StatusCode }) {
		return false
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, mostPeeked))
	rest := io.Reader(res.Body)
	if err != nil {
		rest = broken{err}
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	return a.Recipe.RefusesToken(res.StatusCode, head)
}

// broken is what is left of a body that broke off.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
