package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/api/apitest"
)

// BenchmarkTokenHTTP compares the token read over loopback with a bare handler
// that writes the same bytes. ratio is our throughput divided by the bare one's.
func BenchmarkTokenHTTP(b *testing.B) {
	k := apitest.New(b, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	const path = "/v1/connections/biz_42@k-series/token"
	body := []byte(k.Do(apitest.AdminKey, "GET", path, "").Body)
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}))
	defer bare.Close()
	b.ReportAllocs()
	// Alternating rounds see the same machine.
	var ours, theirs time.Duration
	for b.Loop() {
		theirs += burst(b, bare.URL+path, nil)
		ours += burst(b, k.Server.URL+path, nil)
	}
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
	b.ReportMetric(float64(b.N)*burstSize/ours.Seconds(), "tokens/s")
}

const burstSize = 4000

// burst times burstSize requests on eight connections, and each of them if there
// is a place for that.
func burst(b *testing.B, url string, each *[]time.Duration) time.Duration {
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer c.CloseIdleConnections()
	began := time.Now()
	var wait sync.WaitGroup
	took := make([]time.Duration, burstSize)
	for n := range 8 {
		wait.Go(func() {
			for i := range burstSize / 8 {
				asked := time.Now()
				req, err := http.NewRequest(http.MethodGet, url, nil)
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+apitest.AdminKey)
				res, err := c.Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Errorf("status %d", res.StatusCode)
					return
				}
				took[n*burstSize/8+i] = time.Since(asked)
			}
		})
	}
	wait.Wait()
	all := time.Since(began)
	if each != nil {
		*each = append(*each, took...)
	}
	return all
}

// BenchmarkTokenHandler is the token read without a network.
func BenchmarkTokenHandler(b *testing.B) {
	k := apitest.New(b, apitest.Options{})
	k.Adopt("biz_42", "k-series")
	r := httptest.NewRequest("GET", "/v1/connections/biz_42@k-series/token", nil)
	r.Header.Set("Authorization", "Bearer "+apitest.AdminKey)
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		k.Handler.ServeHTTP(w, r)
	}
}

// discard is a ResponseWriter that keeps only headers.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
