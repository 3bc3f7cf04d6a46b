package proxy_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/proxy"
	"github.com/evergrant/evergrant/provider"
)

// tricks are request targets, behind the prefix, that some server somewhere reads
// in another way than another one: what is known of traversal and smuggling.
var tricks = []string{
	"/..", "/../", "/../x", "/a/../b", "/a/..", "/.", "/./a", "/a/.", "/...", "/a/.../b", "/.. /a", "/..%20/a",
	"/%2e%2e/x", "/%2E%2E/x", "/.%2e/x", "/%2e./x", "/%2e", "/a/%2e%2e",
	"/%252e%252e/x", "/%25252e%25252e/x", "/a/%25%32%65%25%32%65/b",
	"//", "//x", "/a//b", "/a//", "///", "//evil.example/x", "/%2fevil.example", "/a%2f%2fb", "/a%2fb", "/a%2Fb", "/a%252fb",
	"/..%2fx", "/..%252fx", "/a/..%2f..%2fb", "/%2e%2e%2fx",
	`/..\x`, `/a\b`, "/a%5cb", "/..%5cx", "/..%5C..%5Cx", "/a%255cb",
	"/;", "/a;b", "/a;x=y/b", "/..;/x", "/.;/x", "/a%3bb", "/..%3b/x", "/a%253bb", "/;/x",
	"/a%00", "/%00", "/a%00.json", "/a%0d%0aX-Evil:%20y", "/a%0a", "/a%09b", "/a%7f", "/a%2500", "/a%250d%250ab",
	"/a%c0%ae%c0%ae/b", "/%c0%af", "/%e0%80%af", "/a%ff", "/a%c2%85b",
	"/http://evil.example/", "/https:%2f%2fevil.example", "/http:%5c%5cevil.example",
	"/@evil.example//x", "/%2f@evil.example", `/\evil.example`, `/%5c%5cevil.example`,
}

func TestTricksAreRefused(t *testing.T) {
	var asked []string
	k := newKit(t, func(_ http.ResponseWriter, r *http.Request) { asked = append(asked, r.RequestURI) }, options{base: "/api"})
	for _, trick := range tricks {
		line := raw(t, k.server.URL, "GET "+prefix+trick+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.Contains(line, " 400 ") {
			t.Errorf("%s: %s", trick, line)
		}
	}
	for _, request := range []string{
		"GET http://evil.example" + prefix + "/x HTTP/1.1\r\nHost: evil.example\r\n",
		"GET http://user:pass@127.0.0.1" + prefix + "/x HTTP/1.1\r\nHost: x\r\n",
		"GET " + prefix + "/x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
		"GET " + prefix + "/x HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n",
		"GET " + prefix + "/x?evergrant_location=1&evergrant_location=2 HTTP/1.1\r\nHost: x\r\n",
		"GET " + prefix + "/x?evergrant_location=1&evergrant%5Flocation=2 HTTP/1.1\r\nHost: x\r\n",
		"GET " + prefix + "/x?evergrant_location=1 HTTP/1.1\r\nHost: x\r\nEvergrant-Location: 2\r\n",
		"GET " + prefix + "/x HTTP/1.1\r\nHost: x\r\nEvergrant-Location: 1\r\nEvergrant-Location: 2\r\n",
		"GET " + prefix + "/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"POST " + prefix + "/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
	} {
		if line := raw(t, k.server.URL, request+"Connection: close\r\n\r\n"); !strings.Contains(line, " 400 ") && !strings.Contains(line, " 501 ") {
			t.Errorf("%q: %s", request, line)
		}
	}
	for _, method := range []string{"CONNECT", "TRACE"} {
		if line := raw(t, k.server.URL, method+" "+prefix+"/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.Contains(line, " 405 ") {
			t.Errorf("%s: %s", method, line)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the API was asked for %q", asked)
	}
}

// raw sends bytes as they are and returns the first line of the answer.
func raw(t *testing.T, server, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return strings.TrimSpace(line)
}

func TestPathsAndQueriesArePassedOnAsTheyAre(t *testing.T) {
	for _, c := range []struct{ base, sent, arrives string }{
		{"", "", "/"},
		{"", "/", "/"},
		{"/api", "", "/api"},
		{"/api", "/", "/api/"},
		{"/api/", "/x", "/api/x"},
		{"/API/V3", "/Account/1/Item.json?load_relations=%5B%22A%22%5D&timeStamp=%3E,2026-01-01T00:00:00+00:00",
			"/API/V3/Account/1/Item.json?load_relations=%5B%22A%22%5D&timeStamp=%3E,2026-01-01T00:00:00+00:00"},
		{"", "/f/finance/31/financials/2026-11-21T00:00:00%2B00:00/x", "/f/finance/31/financials/2026-11-21T00:00:00%2B00:00/x"},
		{"", "/a%20b/caf%C3%A9/100%25/@me/a+b/x:y/.well-known/..a/a..", "/a%20b/caf%C3%A9/100%25/@me/a+b/x:y/.well-known/..a/a.."},
		{"", "/x?b=2&a=1&a=&=&&c", "/x?b=2&a=1&a=&=&&c"},
		{"", "/x?filter=a==1;b==2&bad=%zz", "/x?filter=a==1;b==2&bad=%zz"},
		{"", "/x?a=../../b&c=//d", "/x?a=../../b&c=//d"},
		{"", "/x?evergrant_location=31", "/x"},
		{"", "/x?a=1&evergrant_location=31&b=2", "/x?a=1&b=2"},
		{"", "/x?a=1&evergrant%5Flocation=31", "/x?a=1"},
	} {
		var arrived string
		k := newKit(t, func(_ http.ResponseWriter, r *http.Request) { arrived = r.RequestURI }, options{base: c.base})
		if res, body := k.do("GET", c.sent, ""); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", c.sent, res.StatusCode, body)
		}
		if arrived != c.arrives {
			t.Errorf("%s arrives below %q as %s, want %s", c.sent, c.base, arrived, c.arrives)
		}
	}
}

// FuzzTarget sends request targets and headers through a proxy whose network tells
// where they went. Properties: nothing is dialled but the API's host; what arrives
// is below the API's base by net/url's reading, too, however often it is decoded;
// it carries the connection's token and nothing that says who asked.
func FuzzTarget(f *testing.F) {
	for _, trick := range tricks {
		f.Add("GET", trick, "a=1", "Connection", "Authorization")
	}
	f.Add("POST", "/x", "evergrant_location=3&x=%zz#y", "X-Forwarded-Host", "evil.example")
	f.Add("GET", "/x", "", "Host", "evil.example")
	f.Add("OPTIONS", "", "", "Cookie", "a=b")
	f.Add("G\x00T", "/a%20b", "", "X-Original-Url", "/admin")
	const base = "http://127.0.0.1:7/api/v1"
	var (
		mu      sync.Mutex
		arrived []*http.Request
	)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		arrived = append(arrived, r)
	}))
	f.Cleanup(upstream.Close)
	var elsewhere string
	sender := oauth.NewSender(oauth.SenderConfig{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "127.0.0.1:7" {
			elsewhere = address
		}
		return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(upstream.URL, "http://"))
	}})
	f.Cleanup(sender.Close)
	p := proxy.New(proxy.Config{Sender: sender, Apps: provider.Apps{}})
	f.Fuzz(func(t *testing.T, method, rest, query, name, value string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "http://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.ParseRequestURI(prefix + rest)
		if err != nil {
			return // the server's own parser lets no such request through
		}
		u.RawQuery = query
		r.URL, r.Method, r.RequestURI = u, method, "as it was"
		r.Header.Set("Cookie", "session=1")
		r.Header.Set("Authorization", "Bearer evg_callers-own")
		if name != "" {
			r.Header.Add(name, value)
		}
		escaped, ok := strings.CutPrefix(u.EscapedPath(), prefix)
		if !ok || escaped != "" && escaped[0] != '/' {
			return
		}
		mu.Lock()
		arrived = nil
		mu.Unlock()
		w := httptest.NewRecorder()
		_ = p.Serve(w, r, proxy.Trip{Tokens: &tokens{base: base, token: "token-1"}, Prefix: prefix, Rest: escaped})
		if elsewhere != "" {
			t.Fatalf("%s was dialled", elsewhere)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, a := range arrived {
			if a.Host != "127.0.0.1:7" {
				t.Errorf("%q arrived for the host %q", rest, a.Host)
			}
			if got := a.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer token-1" || a.Header["Cookie"] != nil {
				t.Errorf("it carries %v, %v", got, a.Header["Cookie"])
			}
			below(t, a.RequestURI)
			// What net/url makes of the same words goes to the same place.
			home, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := url.Parse("http://" + a.Host + a.RequestURI)
			if err != nil {
				t.Fatalf("%q arrived as %q: %v", rest, a.RequestURI, err)
			}
			theirs := home.JoinPath(escaped)
			if got, want := ours.Path, theirs.Path; strings.TrimSuffix(got, "/") != strings.TrimSuffix(want, "/") || ours.Host != home.Host {
				t.Errorf("%q arrived at %s %q, net/url goes to %q", rest, ours.Host, got, want)
			}
		}
	})
}

// below fails the test unless a request target is below the API's base, however
// often it is decoded.
func below(t *testing.T, target string) {
	t.Helper()
	p, _, _ := strings.Cut(target, "?")
	for range 5 {
		read := strings.ReplaceAll(strings.ReplaceAll(p, `\`, "/"), ";", "/")
		if clean := path.Clean(read); clean != "/api/v1" && !strings.HasPrefix(clean, "/api/v1/") || strings.Contains(read, "//") {
			t.Fatalf("%q can be read as %q", target, clean)
		}
		next, err := url.PathUnescape(p)
		if err != nil {
			return
		}
		p = next
	}
}
