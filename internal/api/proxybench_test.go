package api_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// BenchmarkProxyHTTP compares requests through the API's proxy, with all it does to
// know the caller and the token, with requests through a bare
// httputil.ReverseProxy to the same API and, where it is installed, through nginx,
// a process of its own that adds a header it was given. A ratio is our throughput
// divided by the other's; the p99 are in microseconds.
func BenchmarkProxyHTTP(b *testing.B) {
	body := bytes.Repeat([]byte(`{"id":310004455667788,"name":"Quay Bar"},`), 100)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}))
	defer upstream.Close()
	k := apitest.New(b, apitest.Options{API: upstream.URL})
	k.Adopt("biz_42", "k-series")
	to, err := url.Parse(upstream.URL)
	if err != nil {
		b.Fatal(err)
	}
	pooled := &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}
	defer pooled.CloseIdleConnections()
	bare := httptest.NewServer(&httputil.ReverseProxy{Transport: pooled, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Header.Set("Authorization", "Bearer token-1")
	}})
	defer bare.Close()
	const path = "/f/data/businesses?page=1"
	ways := []struct {
		name, url string
		took      time.Duration
		each      []time.Duration
	}{
		{name: "ours", url: k.Server.URL + "/proxy/biz_42@k-series" + path},
		{name: "bare", url: bare.URL + path},
	}
	if nginx := nginx(b, upstream.URL); nginx != "" {
		ways = append(ways, ways[1])
		ways[2].name, ways[2].url = "nginx", nginx+path
	}
	b.ReportAllocs()
	// Alternating rounds see the same machine.
	for b.Loop() {
		for i := range ways {
			ways[i].took += burst(b, ways[i].url, &ways[i].each)
		}
	}
	for _, w := range ways {
		slices.Sort(w.each)
		b.ReportMetric(float64(w.each[len(w.each)*99/100].Microseconds()), w.name+"-p99-µs")
		b.ReportMetric(float64(len(w.each))/w.took.Seconds(), w.name+"/s")
	}
	b.ReportMetric(ways[1].took.Seconds()/ways[0].took.Seconds(), "ratio")
	if len(ways) > 2 {
		b.ReportMetric(ways[2].took.Seconds()/ways[0].took.Seconds(), "nginx-ratio")
	}
}

// nginx starts an nginx that adds a header to requests, and returns its URL; "" if
// it is not installed.
func nginx(b *testing.B, upstream string) string {
	b.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // where Debian has it, off the path
	}
	if _, err := os.Stat(program); err != nil {
		return ""
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	at, dir := l.Addr().String(), b.TempDir()
	_ = l.Close()
	to, err := url.Parse(upstream)
	if err != nil {
		b.Fatal(err)
	}
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr error;
events {}
http {
    access_log off;
    client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
    keepalive_requests 1000000;
    upstream api { server %[3]s; keepalive 32; keepalive_requests 1000000; }
    server {
        listen %[2]s;
        location / {
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer token-1";
        }
    }
}
`, dir, at, to.Host)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program, "-p", dir, "-c", config, "-e", "stderr")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for range 200 {
		if c, err := net.DialTimeout("tcp", at, time.Second); err == nil {
			_ = c.Close()
			return "http://" + at
		}
		<-time.After(20 * time.Millisecond)
	}
	b.Fatal("nginx does not listen")
	return ""
}
