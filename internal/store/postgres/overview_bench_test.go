package postgres

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"testing"

	"github.com/evergrant/evergrant/internal/store/storetest"
)

// BenchmarkOverview is what pages of the dashboard ask, of 100,000 connections.
func BenchmarkOverview(b *testing.B) {
	const connections = 100_000
	url := benchDatabase(b)
	s := openTest(b, url, Options{})
	conn := connect(b, url)
	defer conn.Close(context.Background())
	fillDatabase(b, conn, connections, 100)
	fillOverview(b, conn)
	var ids []string
	for _, i := range mathrand.Perm(connections)[:50] {
		ids = append(ids, fmt.Sprintf("conn_%026d", 1+i))
	}
	storetest.BenchOverview(b, s, ids)
}
