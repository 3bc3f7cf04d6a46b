package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evergrant/evergrant/internal/proxy"
)

// behind is a configuration whose app k has this proxy section.
func behind(section string) string {
	return minimal + "apps:\n  k:\n    provider: lightspeed-k\n    client_id: devp-v2-prod-acme\n    client_secret: {file: ./k-secret}\n" +
		"    scopes: [financial-api]\n" + section
}

func TestWhatAnAppLetsThroughTheProxy(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]proxy.Rules{
		"": {},
		"    proxy: {methods: [GET, PROPFIND], paths: [/f/**, /items/v1/*], queue: 1500ms}\n": {
			Methods: []string{"GET", "PROPFIND"}, Paths: []string{"/f/**", "/items/v1/*"}, Queue: 1500 * time.Millisecond},
	} {
		c, err := Parse([]byte(behind(section)), world())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]proxy.Rules{"k": want}, c.ProxyRules()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAProxySectionThatWouldNotMeanWhatItSays(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]string{
		"methods: []":         "apps.k.proxy.methods (line 10): is empty; name what is allowed, or remove the key to allow everything",
		"paths: []":           "apps.k.proxy.paths (line 10): is empty",
		"methods: [GET, get]": "apps.k.proxy.methods[1] (line 10): must be a method in capital letters",
		"methods: [CONNECT]":  "CONNECT and TRACE are never carried",
		"paths: [f]":          "apps.k.proxy.paths[0] (line 10): must begin with /",
		"paths: [/a/../b]":    "is never the path of a request",
		"paths: ['/a?b=1']":   "without its query",
		"paths: [/a/**/b]":    "at its end only",
		"queue: 10m":          "apps.k.proxy.queue (line 10): must be between 10ms and 5m",
		"queues: 1s":          "did you mean queue?",
	} {
		_, err := Parse([]byte(behind("    proxy: {"+section+"}\n")), world())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", section, err, want)
		}
	}
}
