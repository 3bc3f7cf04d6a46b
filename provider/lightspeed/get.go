package lightspeed

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/evergrant/evergrant/provider"
)

// mostBody bounds one answer of an API.
const mostBody = 8 << 20

// statusError is an answer that is not 200. Its body is not part of it.
type statusError struct {
	path   string
	status int
}

// Error implements error.
func (e *statusError) Error() string { return fmt.Sprintf("%s answered %d", e.path, e.status) }

// get reads one answer of an API. Its errors name the path and the status, never
// the body.
func get(ctx context.Context, api provider.API, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(api.Base, "/")+path, nil)
	if err != nil {
		// The address is made of our own parts, and of what CheckEndpoint has seen.
		return nil, fmt.Errorf("ask the API: %w", err)
	}
	req.Header.Set("Accept", "application/json, application/hal+json")
	resp, err := api.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{req.URL.Path, resp.StatusCode}
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" {
		return nil, fmt.Errorf("%s answered a web page", req.URL.Path)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > mostBody {
		return nil, fmt.Errorf("the answer of %s is larger than %d MiB", req.URL.Path, mostBody>>20)
	}
	return body, nil
}
