package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/proxy"
)

const (
	clientTokenPath = "/oauth/token"
	metadataPath    = "/.well-known/oauth-authorization-server"
	maxForm         = 64 << 10
)

// clientToken is a token as any OAuth client expects it (RFC 6749 section 5.1),
// with what else helps to use it.
type clientToken struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in" doc:"seconds"`
	Scope       string `json:"scope,omitempty"`
	BaseURL     string `json:"base_url" doc:"where this business's API lives"`
	Connection  string `json:"connection" doc:"id of the connection"`
	Fingerprint string `json:"fingerprint" doc:"names the token without telling it; see reject"`
}

// clientFailure is an error as any OAuth client expects it (RFC 6749 section 5.2),
// with what a problem tells.
type clientFailure struct {
	Error          string `json:"error"`
	Description    string `json:"error_description"`
	URI            string `json:"error_uri" doc:"urn:evergrant:problem: and the code"`
	Code           string `json:"code" doc:"as in a problem of this API"`
	ActBy          string `json:"act_by" enum:"merchant,operator,provider,nobody"`
	RequestID      string `json:"request_id"`
	Connection     string `json:"connection,omitempty"`
	RetryAfter     int64  `json:"retry_after,omitempty"`
	ReauthorizeURL string `json:"reauthorize_url,omitempty" doc:"link for the merchant; only for keys with the links scope"`
}

// The errors of RFC 6749 section 5.2, and the one of section 4.1.2.1 for what
// passes.
const (
	oauthRequest      = "invalid_request"
	oauthClient       = "invalid_client"
	oauthGrant        = "invalid_grant"
	oauthUnauthorized = "unauthorized_client"
	oauthGrantType    = "unsupported_grant_type"
	oauthScope        = "invalid_scope"
	oauthTemporary    = "temporarily_unavailable"
	oauthInternal     = "server_error"
)

// oauthError is a problem with the name OAuth has for it.
type oauthError struct {
	name string
	p    *problem
}

// Error implements error.
func (e *oauthError) Error() string { return e.name + ": " + e.p.Detail }

func badForm(detail string) error {
	return &oauthError{oauthRequest, newProblem(http.StatusBadRequest, codeInvalid, detail)}
}

// serveClientToken is the token endpoint of the client credentials grant (RFC
// 6749 section 4.4): the client is a connection, its secret an API key.
func (s *server) serveClientToken(c *call) {
	c.w.Header().Set("Pragma", "no-cache")
	h, err := s.clientToken(c)
	if err != nil {
		s.failClient(c, err)
		return
	}
	t := h.Token
	kind := t.Type
	if kind == "" {
		kind = "Bearer"
	}
	c.w.Header()["Content-Type"] = contentJSON
	writeBody(c.w, http.StatusOK, encode(clientToken{
		AccessToken: t.AccessToken, TokenType: kind, ExpiresIn: max(int64(t.Expiry.Sub(s.now())/time.Second), 0), Scope: t.Scope,
		BaseURL: t.BaseURL, Connection: t.Connection, Fingerprint: t.Fingerprint,
	}))
}

func (s *server) clientToken(c *call) (*manager.Handout, error) {
	form, err := readForm(c)
	if err != nil {
		return nil, err
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "":
		return nil, badForm("grant_type is missing; it must be client_credentials")
	default:
		return nil, &oauthError{oauthGrantType, newProblem(http.StatusBadRequest, codeInvalid, "grant_type must be client_credentials")}
	}
	ref, err := s.authenticateClient(c, form)
	if err != nil {
		return nil, err
	}
	var f fields
	o := evergrant.TokenOptions{MinValid: f.duration("min_valid", form.Get("min_valid")), Location: form.Get("location")}
	if err := f.err(); err != nil {
		return nil, err
	}
	if err := s.reach(c.r.Context(), c.key, ref); err != nil {
		return nil, err
	}
	c.target = ref
	h, err := s.handout(c, ref, o)
	if err != nil {
		return nil, err
	}
	granted := strings.Fields(h.Token.Scope)
	for _, asked := range strings.Fields(form.Get("scope")) {
		if len(granted) > 0 && !slices.Contains(granted, asked) {
			return nil, &oauthError{oauthScope, newProblem(http.StatusBadRequest, codeInvalid, "the business has not granted this scope")}
		}
	}
	return h, nil
}

// readForm reads the request's parameters, which come in the body only (RFC 6749
// section 2.3.1) and once each (section 3.2).
func readForm(c *call) (url.Values, error) {
	if c.r.URL.RawQuery != "" {
		return nil, badForm("send the parameters in the body, not in the URL")
	}
	if kind := c.r.Header.Get("Content-Type"); kind != "" {
		if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/x-www-form-urlencoded" {
			return nil, badForm("the body must be application/x-www-form-urlencoded")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxForm))
	if err != nil {
		return nil, badForm("the body could not be read, or is longer than 64 KiB")
	}
	form, err := url.ParseQuery(strings.TrimSpace(string(body)))
	if err != nil {
		return nil, badForm("the body is not a well-formed form")
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, badForm("a parameter is given more than once")
		}
	}
	return form, nil
}

// authenticateClient finds the key and the connection of a request: by HTTP Basic
// or in the body (RFC 6749 section 2.3.1), or with the key as a Bearer token.
func (s *server) authenticateClient(c *call, form url.Values) (grant.Ref, error) {
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if header := c.r.Header.Get("Authorization"); header != "" {
		if secret != "" {
			return grant.Ref{}, badForm("the client authenticates in two ways; use one")
		}
		user, password, basic := c.r.BasicAuth()
		key, bearing := bearer(header)
		switch {
		case bearing:
			secret = key
		case !basic:
			return grant.Ref{}, badClient("the Authorization header is not well formed")
		default:
			user, secret = decodeClient(user), decodeClient(password)
			if id != "" && id != user {
				return grant.Ref{}, badForm("client_id and the Authorization header name different clients")
			}
			id = user
		}
	}
	var err error
	if c.key, err = s.identify(c.r, secret, access.Tokens, ""); err != nil {
		return grant.Ref{}, err
	}
	ref, err := grant.ParseRef(id)
	if err != nil {
		return grant.Ref{}, badClient("client_id must be a connection: a ref like biz_42@k-series, or its id")
	}
	return ref, nil
}

// decodeClient undoes the form encoding that RFC 6749 section 2.3.1 asks for
// before Basic. What many send instead, the text as it is, is taken as such where
// that is not a form's encoding of a ref or a key.
func decodeClient(s string) string {
	decoded, err := url.QueryUnescape(s)
	if err != nil || strings.ContainsFunc(decoded, func(r rune) bool { return r <= ' ' }) {
		return s
	}
	return decoded
}

func badClient(detail string) error {
	p := newProblem(http.StatusUnauthorized, codeUnauthorized, detail)
	return &oauthError{oauthClient, p}
}

// failClient answers with an error as OAuth has it.
func (s *server) failClient(c *call, err error) {
	var told *oauthError
	if !errors.As(err, &told) {
		p, known := toProblem(err)
		if !known {
			s.logUnknown(c, err)
		}
		if p.Status == http.StatusConflict && c.target != (grant.Ref{}) {
			s.addStory(c, p)
		}
		told = oauthProblem(p)
	}
	p, header := told.p, c.w.Header()
	f := clientFailure{Error: told.name, Description: describable(p.Detail), URI: problemTypePrefix + p.Code, Code: p.Code, ActBy: p.ActBy,
		RequestID: c.id, Connection: p.Connection, ReauthorizeURL: p.ReauthorizeURL}
	switch {
	case p.Status >= 500, p.Status == http.StatusTooManyRequests:
		f.RetryAfter = max(p.RetryAfter, 1)
		header.Set("Retry-After", strconv.FormatInt(f.RetryAfter, 10))
	case p.Status == http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Basic realm="evergrant"`)
	}
	header["Content-Type"] = contentJSON
	writeBody(c.w, p.Status, encode(f))
}

// oauthProblem finds the name and the status OAuth has for a problem.
func oauthProblem(p *problem) *oauthError {
	name := oauthRequest
	switch {
	case p.Status == http.StatusInternalServerError:
		name = oauthInternal
	case p.Status > http.StatusInternalServerError:
		name, p.Status = oauthTemporary, http.StatusServiceUnavailable
	case p.Status == http.StatusTooManyRequests: // of clients that fail
		name = oauthClient
	case p.Status == http.StatusUnauthorized:
		name = oauthClient
		p.Detail = "the API key sent as client_secret is missing, unknown, revoked or expired"
	case p.Status == http.StatusNotFound: // an unknown client
		name, p.Status = oauthClient, http.StatusUnauthorized
	case p.Status == http.StatusForbidden:
		name, p.Status = oauthUnauthorized, http.StatusBadRequest
	case p.Status == http.StatusConflict:
		name, p.Status = oauthGrant, http.StatusBadRequest
	default:
		p.Status = http.StatusBadRequest
	}
	return &oauthError{name, p}
}

// describable makes a text fit for error_description: printable ASCII without "
// and \ (RFC 6749 section 5.2).
func describable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return ' '
		}
		return r
	}, s)
}

// metadata is what RFC 8414 has a client read to find the token endpoint.
type metadata struct {
	Issuer        string   `json:"issuer"`
	TokenEndpoint string   `json:"token_endpoint"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported" nullable:"false"`
	GrantTypes    []string `json:"grant_types_supported" nullable:"false"`
	ResponseTypes []string `json:"response_types_supported" nullable:"false" doc:"none: merchants authorize at their provider"`
}

// metadata names the server as its caller does, since it may have many names.
func (s *server) metadata(c *call, _ none) (metadata, error) {
	issuer := proxy.Origin(c.r)
	return metadata{Issuer: issuer, TokenEndpoint: issuer + clientTokenPath,
		AuthMethods: []string{"client_secret_basic", "client_secret_post"},
		GrantTypes:  []string{"client_credentials"}, ResponseTypes: []string{}}, nil
}

// clientForm is the body of a request to the token endpoint.
type clientForm struct {
	GrantType    string `json:"grant_type" enum:"client_credentials"`
	ClientID     string `json:"client_id,omitempty" doc:"the connection: a ref like biz_42@k-series, or its id"`
	ClientSecret string `json:"client_secret,omitempty" doc:"an API key with the scope tokens"`
	Scope        string `json:"scope,omitempty" doc:"refused if the business has not granted it; narrows nothing"`
	Location     string `json:"location,omitempty" doc:"id of a location the token must reach"`
	MinValid     string `json:"min_valid,omitempty" doc:"how long the token must still be valid, such as 30s or 5m"`
}

// clientTokenEndpoint documents what [server.serveClientToken] serves.
func clientTokenEndpoint() endpoint {
	e := endpoint{id: "get-client-token", method: http.MethodPost, path: clientTokenPath, status: http.StatusOK, out: reflect.TypeFor[clientToken](), open: true,
		summary: "Get a token as any OAuth client does, by the client credentials grant"}
	e.describe = func(op *huma.Operation, all huma.Registry) {
		op.Description = "The client is a connection and its secret an API key with the scope tokens, by HTTP Basic or in the body."
		op.Security = []map[string][]string{{"client": {}}, {}}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/x-www-form-urlencoded": {Schema: all.Schema(reflect.TypeFor[clientForm](), true, "")},
		}}
		op.Responses["default"] = &huma.Response{Description: "Error (RFC 6749 section 5.2)", Content: map[string]*huma.MediaType{
			"application/json": {Schema: all.Schema(reflect.TypeFor[clientFailure](), true, "")},
		}}
	}
	return e
}
