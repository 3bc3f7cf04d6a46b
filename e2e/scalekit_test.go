//go:build scale

package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metric returns one of the server's metrics.
func (x *scale) metric(name string) *dto.MetricFamily {
	x.t.Helper()
	res, err := http.Get(x.server.api + "/metrics")
	if err != nil {
		x.t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	if all[name] == nil || len(all[name].GetMetric()) == 0 {
		x.t.Fatalf("there is no metric %s", name)
	}
	return all[name]
}

// databaseSize is how large a server's PostgreSQL database is.
func databaseSize(t *testing.T, s *server) (size int64) {
	t.Helper()
	url, err := os.ReadFile(filepath.Join(s.secrets, "database"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), strings.TrimSpace(string(url)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), `SELECT pg_database_size(current_database())`).Scan(&size); err != nil {
		t.Fatal(err)
	}
	return size
}

// headOf is the commit that is checked out.
func headOf(t *testing.T) string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
