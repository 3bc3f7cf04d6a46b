package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/access"
)

// endpoints is the API: what is served and what is documented.
func (s *server) endpoints() []endpoint {
	const (
		get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
		one                   = "/v1/connections/{ref}"
	)
	return []endpoint{
		typed(endpoint{id: "reject-token", method: post, path: one + "/token/reject", scope: access.Tokens, fleeting: true,
			summary: "Report that the provider's API answered 401 to a token, and get one to try instead"}, s.rejectToken),

		typed(endpoint{id: "list-connections", method: get, path: "/v1/connections", scope: access.Connections, query: connectionParams,
			summary: "List connections"}, s.listConnections),
		typed(endpoint{id: "create-connection", method: post, path: "/v1/connections", scope: access.Connections, status: http.StatusCreated, also: http.StatusOK,
			summary: "Make a pending connection, or adopt existing tokens"}, s.createConnection),
		{id: "import-connections", method: post, path: "/v1/connections/import", scope: access.Connections, status: http.StatusOK,
			in: reflect.TypeFor[newConnection](), out: reflect.TypeFor[imported](), lines: s.importConnections,
			summary: "Make or update many connections: one a line, answered by a line each, in order"},
		typed(endpoint{id: "get-connection", method: get, path: one, scope: access.Connections, awaits: true,
			summary: "Show a connection with its grants"}, s.getConnection),
		typed(endpoint{id: "change-connection", method: patch, path: one, scope: access.Connections, of: shown(s.seenConnection),
			summary: "Change a connection's name, tags or required locations"}, s.changeConnection),
		typed(endpoint{id: "delete-connection", method: del, path: one, scope: access.Connections, status: http.StatusNoContent, of: shown(s.getConnection),
			summary: "Revoke a connection's grants and remove it; its events stay"}, s.deleteConnection),
		typed(endpoint{id: "list-connection-grants", method: get, path: one + "/grants", scope: access.Connections, query: paging,
			summary: "List a connection's grants"}, s.listGrants),
		typed(endpoint{id: "get-connection-locations", method: get, path: one + "/locations", scope: access.Connections, awaits: true,
			summary: "Show which grants reach which locations"}, s.getLocations),
		typed(endpoint{id: "refresh-connection-locations", method: post, path: one + "/locations/refresh", scope: access.Connections,
			summary: "Re-read from the provider which locations are reached"}, s.refreshLocations),
		typed(endpoint{id: "refresh-connection", method: post, path: one + "/refresh", scope: access.Connections,
			summary: "Refresh every live grant now"}, s.refresh),
		typed(endpoint{id: "verify-connection", method: post, path: one + "/verify", scope: access.Connections,
			summary: "Ask the provider's API whether the token of each live grant works"}, s.verify),
		typed(endpoint{id: "disconnect-connection", method: post, path: one + "/disconnect", scope: access.Connections,
			summary: "Revoke a connection's grants and keep its history"}, s.disconnect),
		typed(endpoint{id: "list-connection-events", method: get, path: one + "/events", scope: access.Events, or: access.Connections, query: connectionEventParams,
			summary: "List a connection's events"}, s.listConnectionEvents),
		typed(endpoint{id: "get-grant", method: get, path: "/v1/grants/{id}", scope: access.Connections, awaits: true,
			summary: "Show a grant"}, s.getGrant),

		typed(endpoint{id: "create-link", method: post, path: "/v1/links", scope: access.Links, status: http.StatusCreated,
			summary: "Make a link that lets a merchant connect or reconnect"}, s.createLink),
		typed(endpoint{id: "list-links", method: get, path: "/v1/links", scope: access.Links, query: linkParams,
			summary: "List links, newest first"}, s.listLinks),
		typed(endpoint{id: "get-link", method: get, path: "/v1/links/{id}", scope: access.Links, awaits: true,
			summary: "Show a link"}, s.getLink),
		typed(endpoint{id: "revoke-link", method: post, path: "/v1/links/{id}/revoke", scope: access.Links,
			summary: "Take a link back"}, s.revokeLink),

		typed(endpoint{id: "list-events", method: get, path: "/v1/events", scope: access.Events, query: eventParams,
			summary: "List the event log"}, s.listEvents),

		typed(endpoint{id: "list-webhooks", method: get, path: "/v1/webhooks", scope: access.Admin, or: access.Events, query: paging,
			summary: "List webhooks"}, s.listWebhooks),
		typed(endpoint{id: "create-webhook", method: post, path: "/v1/webhooks", scope: access.Admin, status: http.StatusCreated,
			summary: "Make a webhook, which events are sent to from now on"}, s.createWebhook),
		typed(endpoint{id: "get-webhook", method: get, path: "/v1/webhooks/{id}", scope: access.Admin, or: access.Events, awaits: true,
			summary: "Show a webhook"}, s.getWebhook),
		typed(endpoint{id: "change-webhook", method: patch, path: "/v1/webhooks/{id}", scope: access.Admin, of: shown(s.getWebhook),
			summary: "Change, disable or enable a webhook, or have it go on elsewhere in the log"}, s.changeWebhook),
		typed(endpoint{id: "delete-webhook", method: del, path: "/v1/webhooks/{id}", scope: access.Admin, status: http.StatusNoContent, of: shown(s.getWebhook),
			summary: "Remove a webhook"}, s.deleteWebhook),
		typed(endpoint{id: "list-webhook-deliveries", method: get, path: "/v1/webhooks/{id}/deliveries", scope: access.Admin, or: access.Events, query: paging,
			summary: "List the last deliveries to a webhook, newest first"}, s.listDeliveries),
		typed(endpoint{id: "test-webhook", method: post, path: "/v1/webhooks/{id}/test", scope: access.Admin,
			summary: "Send a webhook.test event now and tell what came of it"}, s.testWebhook),
		typed(endpoint{id: "rotate-webhook-secret", method: post, path: "/v1/webhooks/{id}/rotate-secret", scope: access.Admin,
			summary: "Give a webhook another signing secret; the one before signs beside it for a day"}, s.rotateWebhookSecret),

		typed(endpoint{id: "get-runway", method: get, path: "/v1/runway", scope: access.Connections, query: runwayParams,
			summary: "Show how long businesses last if refreshing stops now"}, s.runway),
		typed(endpoint{id: "list-apps", method: get, path: "/v1/apps", scope: access.Connections, query: paging,
			summary: "List apps"}, s.listApps),
		typed(endpoint{id: "get-app", method: get, path: "/v1/apps/{app}", scope: access.Connections, awaits: true,
			summary: "Show an app"}, s.getApp),
		typed(endpoint{id: "pause-app", method: post, path: "/v1/apps/{app}/pause", scope: access.Admin,
			summary: "Stop all refreshes of an app; its tokens are served as long as they last"}, s.pauseApp),
		typed(endpoint{id: "resume-app", method: post, path: "/v1/apps/{app}/resume", scope: access.Admin,
			summary: "End the pause of an app, whatever caused it"}, s.resumeApp),

		typed(endpoint{id: "list-keys", method: get, path: "/v1/keys", scope: access.Admin, query: paging,
			summary: "List API keys"}, s.listKeys),
		typed(endpoint{id: "create-key", method: post, path: "/v1/keys", scope: access.Admin, status: http.StatusCreated,
			summary: "Make an API key"}, s.createKey),
		typed(endpoint{id: "revoke-key", method: del, path: "/v1/keys/{id}", scope: access.Admin, status: http.StatusNoContent,
			summary: "Revoke an API key"}, s.revokeKey),

		typed(endpoint{id: "get-oauth-metadata", method: get, path: metadataPath, open: true,
			summary: "Show the metadata of the token endpoint (RFC 8414)"}, s.metadata),
		typed(endpoint{id: "get-whoami", method: get, path: "/v1/whoami",
			summary: "Show the API key of this request"}, s.whoami),
		typed(endpoint{id: "get-meta", method: get, path: "/v1/meta", open: true,
			summary: "Show what this server is"}, s.meta),
	}
}

// tokenEndpoint documents what [server.serveToken] serves.
func (s *server) tokenEndpoint() endpoint {
	return typed(endpoint{id: "get-token", method: http.MethodGet, path: "/v1/connections/{ref}/token", scope: access.Tokens, query: awaitedTokenParams,
		summary: "Get a token valid at least as long as asked"}, func(*call, none) (tokenAnswer, error) {
		return tokenAnswer{}, nil
	})
}

// routes registers everything.
func (s *server) routes() error {
	methods := map[string][]string{} // by path
	handle := func(method, path string, h http.Handler) {
		s.mux.Handle(method+" "+path, h)
		methods[path] = append(methods[path], method)
	}
	endpoints := s.endpoints()
	if s.c.SignIn != nil {
		endpoints = append(endpoints, typed(endpoint{id: "create-dashboard-login", method: http.MethodPost, path: "/v1/dashboard/logins", scope: access.Admin,
			status: http.StatusCreated, fleeting: true, summary: "Make a link that lets one person into the dashboard, once"}, s.createLogin))
	}
	for _, e := range endpoints {
		handle(e.method, e.path, s.handler(e))
		if e.lines != nil {
			delete(methods, e.path) // other methods take its last segment for a ref
		}
	}
	token := s.tokenEndpoint()
	handle(token.method, token.path, s.serve(s.serveToken))
	handle(http.MethodPost, clientTokenPath, s.serve(s.serveClientToken))
	documented := slices.Concat([]endpoint{token}, endpoints, []endpoint{clientTokenEndpoint(), forwardAuthEndpoint()})
	if s.c.Proxy != nil {
		documented = append(documented, proxyEndpoints()...)
	}
	doc := document(documented, s.c.Version)
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("api: OpenAPI document: %w", err)
	}
	handle(http.MethodGet, "/v1/openapi.json", s.fixed("application/json", text))
	page, err := docs(documented, doc)
	if err != nil {
		return err
	}
	s.serveDocs(handle, page)
	metrics := s.metrics()
	handle(http.MethodGet, livezPath, s.serve(s.livez))
	handle(http.MethodGet, readyzPath, s.serve(s.readyz))
	handle(http.MethodGet, metricsPath, s.serve(func(c *call) { metrics.ServeHTTP(c.w, c.r) }))
	for path, m := range methods {
		if slices.Contains(m, http.MethodGet) {
			m = append(m, http.MethodHead)
		}
		slices.Sort(m)
		s.mux.Handle(path, s.notAllowed(strings.Join(m, ", ")))
	}
	s.mux.HandleFunc("/", s.serve(s.unknown))
	return nil
}
