package oauth

import (
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

func TestClassify(t *testing.T) {
	const (
		jsonType = "application/json"
		html     = "<!DOCTYPE html><title>Log in</title><input name=csrf_token>"
	)
	dex := Errors{"400:invalid_request": grant.Refused, "500:server_error": grant.Throttled, "BAD_REFRESH_TOKEN": grant.Refused, "invalid_grant": grant.Unclear, "429:blocked": grant.Misconfigured, "silly": grant.Granted}
	tests := map[string]struct {
		status int
		body   string
		errors Errors
		want   grant.Outcome
		code   string
	}{
		"tokens are granted":                              {200, goodTokens, nil, grant.Granted, ""},
		"tokens in a 201 are granted":                     {201, goodTokens, nil, grant.Granted, ""},
		"tokens in a form are granted":                    {200, "access_token=a&token_type=bearer&expires=5108", nil, grant.Granted, ""},
		"tokens before rubbish are granted":               {200, goodTokens + "<!-- 0.2 s -->", nil, grant.Granted, ""},
		"tokens beside an error are granted":              {200, `{"access_token":"a","error":"x"}`, nil, grant.Granted, ""},
		"tokens in a 400 are not":                         {400, goodTokens, nil, grant.Unclear, ""},
		"invalid_grant is a refusal":                      {400, `{"error":"invalid_grant"}`, nil, grant.Refused, "invalid_grant"},
		"invalid_grant in a 401 is a refusal":             {401, `{"error":"invalid_grant"}`, nil, grant.Refused, "invalid_grant"},
		"invalid_grant in a 403 is a refusal (Atlassian)": {403, `{"error":"invalid_grant"}`, nil, grant.Refused, "invalid_grant"},
		"invalid_grant in a form is a refusal":            {400, "error=invalid_grant&error_description=x", nil, grant.Refused, "invalid_grant"},
		"an error inside a 200 is an error":               {200, `{"error":"invalid_grant"}`, nil, grant.Refused, "invalid_grant"},
		"an unknown error inside a 200 is unclear":        {200, `{"error":"bad_refresh_token"}`, nil, grant.Unclear, "bad_refresh_token"},
		"invalid_client is the app's":                     {401, `{"error":"invalid_client"}`, nil, grant.Misconfigured, "invalid_client"},
		"unauthorized_client is the app's":                {400, `{"error":"unauthorized_client"}`, nil, grant.Misconfigured, "unauthorized_client"},
		"temporarily_unavailable is a wait":               {400, `{"error":"temporarily_unavailable"}`, nil, grant.Throttled, "temporarily_unavailable"},
		"slow_down is a wait":                             {400, `{"error":"slow_down"}`, nil, grant.Throttled, "slow_down"},
		"429 is a wait":                                   {429, "Too many requests", nil, grant.Throttled, ""},
		"429 with invalid_grant is a wait":                {429, `{"error":"invalid_grant"}`, nil, grant.Throttled, "invalid_grant"},
		"invalid_request is unclear":                      {400, `{"error":"invalid_request"}`, nil, grant.Unclear, "invalid_request"},
		"invalid_scope is unclear":                        {400, `{"error":"invalid_scope"}`, nil, grant.Unclear, "invalid_scope"},
		"an error that is not a string is unclear":        {400, `{"error":{"code":"invalid_grant"}}`, nil, grant.Unclear, ""},
		"401 without an OAuth error is unclear":           {401, "Unauthorized", nil, grant.Unclear, ""},
		"a firewall's 403 page is unclear":                {403, html, nil, grant.Unclear, ""},
		"a proxy's 407 page is unclear":                   {407, html, nil, grant.Unclear, ""},
		"a page that quotes an error is unclear":          {400, "<p>error=invalid_grant</p>", nil, grant.Unclear, ""},
		"a text that quotes an error is unclear":          {400, "error=invalid_grant or so", nil, grant.Unclear, ""},
		"a captive portal's page is unclear":              {200, html, nil, grant.Unclear, ""},
		"a captive portal's JSON is unclear":              {200, `{"login":"https://wifi.example"}`, nil, grant.Unclear, ""},
		"an empty 200 is unclear":                         {200, "", nil, grant.Unclear, ""},
		"204 is unclear":                                  {204, "", nil, grant.Unclear, ""},
		"a redirect is unclear":                           {302, `{"error":"invalid_grant"}`, nil, grant.Unclear, "invalid_grant"},
		"500 is unclear":                                  {500, "oops", nil, grant.Unclear, ""},
		"500 with invalid_grant is unclear":               {500, `{"error":"invalid_grant"}`, nil, grant.Unclear, "invalid_grant"},
		"503 with temporarily_unavailable is unclear":     {503, `{"error":"temporarily_unavailable"}`, nil, grant.Unclear, "temporarily_unavailable"},
		"cut JSON in a 200 is lost":                       {200, goodTokens[:60], nil, grant.Lost, ""},
		"cut JSON in a 400 is unclear":                    {400, `{"error":"invalid_gr`, nil, grant.Unclear, ""},
		"bad JSON in a 200 is lost":                       {200, `{access_token:1}`, nil, grant.Lost, ""},
		"tokens in an unexpected place are lost":          {200, `{"data":{"access_token":"a"}}`, nil, grant.Lost, ""},
		"tokens in a list are lost":                       {200, `[{"access_token":"a"}]`, nil, grant.Lost, ""},
		"tokens of a type nobody understands are lost":    {200, `{"access_token":"a","token_type":"DPoP"}`, nil, grant.Lost, ""},
		"compressed rubbish is lost":                      {200, "\x8b\x03\x80", nil, grant.Lost, ""},

		"the map tells statuses apart":            {400, `{"error":"invalid_request"}`, dex, grant.Refused, "invalid_request"},
		"the map's status does not match another": {401, `{"error":"invalid_request"}`, dex, grant.Unclear, "invalid_request"},
		"the map knows codes of its own":          {400, `{"error":"BAD_REFRESH_TOKEN"}`, dex, grant.Refused, "BAD_REFRESH_TOKEN"},
		"the map overrides the default":           {400, `{"error":"invalid_grant"}`, dex, grant.Unclear, "invalid_grant"},
		"a code alone does not reach a 500":       {500, `{"error":"BAD_REFRESH_TOKEN"}`, dex, grant.Unclear, "BAD_REFRESH_TOKEN"},
		"a code with its status does":             {500, `{"error":"server_error"}`, dex, grant.Throttled, "server_error"},
		"a code with its status reaches a 429":    {429, `{"error":"blocked"}`, dex, grant.Misconfigured, "blocked"},
		"no map makes an error a success":         {400, `{"error":"silly"}`, dex, grant.Unclear, "silly"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := Answer{Sent: true, Complete: true, Status: tt.status, Body: []byte(tt.body), ContentType: jsonType, RetryAfter: 3 * time.Second}
			got := Classify(a, tt.errors)
			if got.Outcome != tt.want || got.Code != tt.code || got.RetryAfter != 3*time.Second {
				t.Errorf("got %v %q %v, want %v %q", got.Outcome, got.Code, got.RetryAfter, tt.want, tt.code)
			}
			a.Sent = false
			if got := Classify(a, tt.errors); got.Outcome != grant.NotSent {
				t.Errorf("not sent: got %v", got.Outcome)
			}
		})
	}
}

func TestClassifyIncompleteAnswers(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   grant.Outcome
	}{
		"no header came":                          {0, "", grant.Lost},
		"a 200 without its body":                  {200, "", grant.Lost},
		"a 200 with half a body":                  {200, goodTokens[:40], grant.Lost},
		"a 200 whose object was closed":           {200, goodTokens, grant.Granted},
		"a 200 whose form may go on":              {200, "access_token=a", grant.Lost},
		"a 400 that may go on":                    {400, `{"error":"invalid_grant"}`, grant.Lost},
		"a 500":                                   {500, "", grant.Lost},
		"a 429, whose status says all there is":   {429, "", grant.Throttled},
		"a closed object without tokens in a 200": {200, "{}", grant.Lost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := Answer{Sent: true, Status: tt.status, Body: []byte(tt.body)}
			if got := Classify(a, nil); got.Outcome != tt.want {
				t.Errorf("got %v, want %v", got.Outcome, tt.want)
			}
		})
	}
}

func TestDescriptionsComeFromWhereProvidersPutThem(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"error_description":                {`{"error":"invalid_grant","error_description":"Token is not active"}`, "Token is not active"},
		"message (X-Series)":               {`{"error":"Bad Request","message":"gone"}`, "gone"},
		"hint (R-Series)":                  {`{"error":"invalid_grant","hint":"Token has been revoked"}`, "Token has been revoked"},
		"error_description goes first":     {`{"error":"x","error_description":"a","hint":"b"}`, "a"},
		"what is no string is not shown":   {`{"error":"x","error_description":{"a":1}}`, ""},
		"a form's":                         {"error=x&error_description=too+late", "too late"},
		"long ones are cut to 200 letters": {`{"error":"x","error_description":"` + strings.Repeat("é ", 300) + `"}`, strings.TrimSpace(strings.Repeat("é ", 99)) + " é…"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Classify(Answer{Sent: true, Complete: true, Status: 400, Body: []byte(tt.body)}, nil)
			if got.Description != tt.want {
				t.Errorf("got %q, want %q", got.Description, tt.want)
			}
		})
	}
}

func TestCodesThatCannotBeShownAreNone(t *testing.T) {
	for _, raw := range []string{"", " ", "a\nb", "é", strings.Repeat("a", 65), `a"b`, "0123456789abcdefghij", testRefresh} {
		if got := cleanCode(raw, false); got != "" {
			t.Errorf("cleanCode(%q) = %q", raw, got)
		}
	}
	for _, raw := range []string{"invalid_grant", "temporarily_unavailable", "insufficient_user_authentication", "BAD_REFRESH_TOKEN", "Too Many Requests", "1234"} {
		if got := cleanCode(raw, false); got != raw {
			t.Errorf("cleanCode(%q) = %q", raw, got)
		}
	}
	listed := Errors{"InvalidRefreshTokenSupplied": grant.Refused}
	if got := Classify(Answer{Sent: true, Complete: true, Status: 400, Body: []byte(`{"error":"InvalidRefreshTokenSupplied"}`)}, listed); got.Outcome != grant.Refused {
		t.Errorf("a code that the map lists: got %v %q", got.Outcome, got.Code)
	}
}
