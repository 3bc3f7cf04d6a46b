package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkProxy compares requests through the proxy with requests through a bare
// httputil.ReverseProxy to the same API. ratio is our throughput divided by the
// bare one's; p99 and bare-p99 are in microseconds.
func BenchmarkProxy(b *testing.B) {
	body := bytes.Repeat([]byte(`{"id":310004455667788,"name":"Quay Bar"},`), 100)
	k := newKit(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}, options{})
	api, err := url.Parse(k.tokens.base)
	if err != nil {
		b.Fatal(err)
	}
	pooled := &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}
	defer pooled.CloseIdleConnections()
	bare := httptest.NewServer(&httputil.ReverseProxy{Transport: pooled, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(api)
		r.Out.Header.Set("Authorization", "Bearer token-1")
	}})
	defer bare.Close()
	callers := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer callers.CloseIdleConnections()
	b.ReportAllocs()
	// Alternating rounds see the same machine.
	var ours, theirs time.Duration
	var oursEach, theirsEach []time.Duration
	for b.Loop() {
		theirs += burst(b, callers, bare.URL+"/f/data/businesses?page=1", &theirsEach)
		ours += burst(b, callers, k.server.URL+prefix+"/f/data/businesses?page=1", &oursEach)
	}
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
	b.ReportMetric(p99(oursEach), "p99-µs")
	b.ReportMetric(p99(theirsEach), "bare-p99-µs")
}

// burst sends requests from a few callers and returns how long that took in all,
// and for each.
func burst(b *testing.B, c *http.Client, target string, each *[]time.Duration) time.Duration {
	const callers, requests = 8, 50
	var wg sync.WaitGroup
	took := make([]time.Duration, callers*requests)
	began := time.Now()
	for i := range callers {
		wg.Go(func() {
			for j := range requests {
				asked := time.Now()
				res, err := c.Get(target)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Errorf("status %d", res.StatusCode)
				}
				took[i*requests+j] = time.Since(asked)
			}
		})
	}
	wg.Wait()
	*each = append(*each, took...)
	return time.Since(began)
}

func p99(all []time.Duration) float64 {
	slices.Sort(all)
	return float64(all[len(all)*99/100].Microseconds())
}
