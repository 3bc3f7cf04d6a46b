package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/oauth"
)

// ErrVariable is why endpoints cannot be filled in: a variable that the recipe
// declares is missing, or its value is not a DNS label.
var ErrVariable = errors.New("a variable of the provider's endpoints is missing or malformed")

// mostLabel is the longest DNS label (RFC 1035 section 2.3.4).
const mostLabel = 63

// leastFixed is how many labels of a host must follow a variable: with one,
// anybody could own the host that comes of it.
const leastFixed = 2

// Variables takes the values of the recipe's variables out of what a redirect, a
// token response or an importer brought along; other entries are left out. A
// value must be one lower-case DNS label, because it becomes part of a host that
// is sent the client's secret. It returns nil for a recipe without variables.
// Errors are [ErrVariable] and do not quote the value.
func (a *App) Variables(from map[string]string) (map[string]string, error) {
	var vars map[string]string
	for _, name := range a.Recipe.Variables {
		value, ok := from[name]
		if !ok {
			return nil, fmt.Errorf("%w: %s is missing", ErrVariable, name)
		}
		value = strings.TrimSuffix(value, a.Recipe.Suffixes[name])
		if !label(value) {
			return nil, fmt.Errorf("%w: %s is not one lower-case DNS label of at most %d characters", ErrVariable, name, mostLabel)
		}
		if vars == nil {
			vars = make(map[string]string)
		}
		vars[name] = value
	}
	return vars, nil
}

// ResolvedFor is [App.Resolved] with one connection's variables filled in: what
// to send its tokens to. An error that is [ErrVariable] does not pass by itself.
func (a *App) ResolvedFor(ctx context.Context, s *oauth.Sender, vars map[string]string) (Endpoints, error) {
	e, err := a.Resolved(ctx, s)
	if err != nil {
		return Endpoints{}, err
	}
	return e.With(vars)
}

// With returns the endpoints with variables filled in. Those that contain none
// stay as they are. Errors are [ErrVariable].
func (e Endpoints) With(vars map[string]string) (Endpoints, error) {
	for _, p := range []*string{&e.Token, &e.Refresh, &e.Revoke, &e.API} {
		filled, err := fill(*p, vars)
		if err != nil {
			return Endpoints{}, err
		}
		*p = filled
	}
	return e, nil
}

// fill puts values in the place of {names}.
func fill(template string, vars map[string]string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, _ := strings.Cut(rest, "}")
		// Checked again here: what is stored may be older than the check.
		if !label(vars[name]) {
			return "", fmt.Errorf("%w: %s", ErrVariable, name)
		}
		b.WriteString(vars[name])
		template = after
	}
}

// label reports whether s is one DNS label in lower case (RFC 1123 section 2.1):
// nothing that could end a host, begin another part of a URL or be folded into
// something else.
func label(s string) bool {
	ok := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	return s != "" && len(s) <= mostLabel && s[0] != '-' && s[len(s)-1] != '-' &&
		!strings.ContainsFunc(s, func(r rune) bool { return !ok(r) })
}

// checkTemplate reports why raw cannot be an endpoint in which the declared
// variables may occur, each as one label of a fixed host or as one segment of
// the path.
func checkTemplate(raw string, declared []string) error {
	scheme, rest, _ := strings.Cut(raw, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	labels := strings.Split(rest[:end], ".")
	segments := strings.Split(path, "/")
	if strings.ContainsAny(scheme+query, "{}") {
		return fmt.Errorf("%q: a variable may be one label of the host or one segment of the path only", raw)
	}
	filled := make(map[string]string)
	for _, part := range slices.Concat(labels, segments) {
		if !strings.ContainsAny(part, "{}") {
			continue
		}
		name := strings.TrimSuffix(strings.TrimPrefix(part, "{"), "}")
		if part != "{"+name+"}" || !slices.Contains(declared, name) {
			return fmt.Errorf("%q: %q is neither fixed nor one of the provider's variables, {%s}", raw, part, strings.Join(declared, "}, {"))
		}
		filled[name] = "x"
	}
	for i, l := range labels {
		if strings.HasPrefix(l, "{") && len(labels)-1-i < leastFixed {
			return fmt.Errorf("%q: a variable may be one label of a fixed host, never the whole host", raw)
		}
	}
	whole, err := fill(raw, filled)
	if err != nil {
		return err
	}
	return oauth.CheckEndpoint(whole)
}
