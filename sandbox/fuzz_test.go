package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/sandbox"
)

// serve sends a request without a network.
func serve(sb *sandbox.Sandbox, method, target, contentType, body string, basic ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://sandbox.test/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if len(basic) == 2 {
		r.SetBasicAuth(basic[0], basic[1])
	}
	rec := httptest.NewRecorder()
	sb.ServeHTTP(rec, r)
	return rec
}

func frozen() sandbox.Config {
	return sandbox.Config{Now: func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }}
}

// A control request answers JSON; one that is refused says why and changes nothing.
func FuzzControl(f *testing.F) {
	for _, seed := range [][2]string{
		{"clock", `{"advance":"1d"}`},
		{"lifetimes", `{"access":"20s","refresh":"30m","code":"15s"}`},
		{"faults", `{"app":"devp-v2-x","fault":"slow","times":1,"for":"1h","match":{"delay":"1s"}}`},
		{"clients", `{"client_id":"devp-x","client_secret":"s","redirect_uris":["https://a.example"],"scopes":["items"],"rotation":"grace","window":"30s"}`},
		{"users", `{"email":"a@b.example","businesses":[{"id":1,"locations":[{"id":2}]}]}`},
		{"clients", `{"client_id":"c","series":"r-series","server":"old","public":true}`},
		{"clients", `{"client_id":"c","series":"x-series","store_cap":0}`},
		{"users", `{"email":"a@b.example","account":{"id":1,"shops":[{"id":2}]},"retailer":{"domain_prefix":"a","outlets":[{"name":"b"}]}}`},
		{"users/anna@cafe-nord.example/lock", ``},
		{"users/anna@cafe-nord.example/revoke", `{"only":"access_tokens"}`},
		{"lifetimes", `{"series":"x-series","access":"20s"}`},
		{"reset", ``},
		{"users/anna@cafe-nord.example/revoke", ``},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		sb := sandbox.New(frozen())
		before := serve(sb, http.MethodGet, "/_sandbox/state", "", "").Body.String()
		rec := serve(sb, http.MethodPost, "/_sandbox/"+path, "", body)
		switch rec.Code {
		case http.StatusOK, http.StatusCreated:
			if !json.Valid(rec.Body.Bytes()) {
				t.Errorf("answered %q", rec.Body)
			}
		case http.StatusBadRequest, http.StatusNotFound:
			var e struct{ Error string }
			if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Error == "" {
				t.Errorf("answered %d %q", rec.Code, rec.Body)
			}
			if after := serve(sb, http.MethodGet, "/_sandbox/state", "", "").Body.String(); after != before {
				t.Errorf("refused with %s, yet the state changed from\n%s\nto\n%s", rec.Body, before, after)
			}
		}
		if after := serve(sb, http.MethodGet, "/_sandbox/state", "", ""); !json.Valid(after.Body.Bytes()) {
			t.Errorf("the state is %q", after.Body)
		}
	})
}

// A token request with an invented code or token is refused in JSON and makes no
// grant, whatever its form looks like.
func FuzzTokenRequest(f *testing.F) {
	const form = "application/x-www-form-urlencoded"
	f.Add("", form, "grant_type=refresh_token&refresh_token=x", "devp-v2-x", "s")
	f.Add("grant_type=authorization_code&code=x&redirect_uri=y", "", "", "devp-x", "s")
	f.Add("%zz", form, "a=%zz;b", "devp-x", "%")
	f.Add("", form+"; charset=utf-8", "grant_type=a&grant_type=b", "", "")
	f.Add("", form, "grant_type=refresh_token&refresh_token=x&client_id=acme&client_secret=s", "", "")
	f.Add("", "application/json", `{"grant_type":"authorization_code","code":"x","client_id":"acme","client_secret":"s"}`, "", "")
	f.Add("", "application/json", `{"grant_type":1}{}`, "", "")
	f.Add("", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\nrefresh_token\r\n--b--\r\n", "", "")
	f.Fuzz(func(t *testing.T, query, contentType, body, id, secret string) {
		sb := sandbox.New(frozen())
		for _, path := range []string{v2Root + "/token", "/k1/oauth/token", "/r/auth/oauth/token", "/r/oauth/access_token.php", "/x/fjordwear/api/1.0/token"} {
			rec := serve(sb, http.MethodPost, path+"?"+query, contentType, body, id, secret)
			var e struct{ Error string }
			if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Error == "" || rec.Code < 400 || rec.Code > 499 {
				t.Errorf("%s answered %d %q", path, rec.Code, rec.Body)
			}
		}
		rep := sb.Report()
		if rep.Exchanges != 0 || rep.Refreshes != 0 || rep.Grants.Live != 0 {
			t.Errorf("report = %+v", rep)
		}
	})
}

// An authorize request ends in a page or at its own redirect URI, nowhere else.
func FuzzAuthorize(f *testing.F) {
	f.Add("response_type=code&client_id=devp-v2-x&redirect_uri=https://a.example/cb&scope=items&state=s")
	f.Add("response_type=token&client_id=devp-v2-x&redirect_uri=https://a.example/cb?x=1%23f")
	f.Add("client_id=devp-v2-x&redirect_uri=http://localhost@evil.example/&scope=%00")
	f.Fuzz(func(t *testing.T, query string) {
		rec := serve(sandbox.New(frozen()), http.MethodGet, v2Root+"/auth?"+query, "", "")
		switch rec.Code {
		case http.StatusOK, http.StatusBadRequest:
		case http.StatusFound:
			asked, _ := url.ParseQuery(query)
			want, err := url.Parse(asked.Get("redirect_uri"))
			if err != nil {
				t.Fatalf("redirected to %s for an unreadable redirect_uri", rec.Header().Get("Location"))
			}
			got, err := url.Parse(rec.Header().Get("Location"))
			if err != nil || got.Scheme != want.Scheme || got.Host != want.Host || got.Path != want.Path || got.Query().Get("error") == "" {
				t.Errorf("redirected to %s, asked for %s", rec.Header().Get("Location"), want)
			}
		default:
			t.Errorf("answered %d", rec.Code)
		}
	})
}

// An authorize request of R-Series, whose redirect URI was registered before, ends
// in a page or in JSON, and never redirects by itself.
func FuzzAuthorizeR(f *testing.F) {
	f.Add("response_type=code&client_id=acme&scope=employee:all&state=s")
	f.Add("response_type=code&client_id=acme&scope=employee:all&redirect_uri=https://evil.example/")
	f.Add("response_type=token&client_id=acme&code_challenge=x&code_challenge_method=plain")
	f.Fuzz(func(t *testing.T, query string) {
		conf := frozen()
		conf.Clients = []sandbox.Client{{ID: "acme", Series: "lightspeed-r", RedirectURI: callback}}
		rec := serve(sandbox.New(conf), http.MethodGet, "/r/auth/oauth/authorize?"+query, "", "")
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest || rec.Header().Get("Location") != "" {
			t.Errorf("answered %d to %s", rec.Code, rec.Header().Get("Location"))
		}
	})
}

// An authorize request of X-Series without a state of eight characters ends in a
// page; any other in a page or at its own redirect URI.
func FuzzAuthorizeX(f *testing.F) {
	f.Add("response_type=code&client_id=acme&redirect_uri=https://a.example/cb&scope=outlets:read&state=12345678")
	f.Add("response_type=code&client_id=acme&redirect_uri=https://a.example/cb&state=12345678")
	f.Add("response_type=code&client_id=acme&redirect_uri=https://a.example/cb&scope=outlets:read&state=short")
	f.Fuzz(func(t *testing.T, query string) {
		rec := serve(sandbox.New(frozen()), http.MethodGet, "/x/connect?"+query, "", "")
		if rec.Code != http.StatusFound {
			if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest {
				t.Errorf("answered %d", rec.Code)
			}
			return
		}
		asked, _ := url.ParseQuery(query)
		want, err := url.Parse(asked.Get("redirect_uri"))
		if err != nil {
			t.Fatalf("redirected to %s for an unreadable redirect_uri", rec.Header().Get("Location"))
		}
		got, err := url.Parse(rec.Header().Get("Location"))
		if err != nil || got.Host != want.Host || got.Query().Get("error") == "" || len(asked.Get("state")) < 8 {
			t.Errorf("redirected to %s, asked for %s", rec.Header().Get("Location"), want)
		}
	})
}
