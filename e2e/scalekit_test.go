//go:build scale

package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

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

// processorTime is what the server, and PostgreSQL if it is its store, have used
// so far. Unlike time it hardly depends on what else the machine does.
func (x *scale) processorTime() (server, db time.Duration) {
	server = processorTime(x.t, x.server.process.Process.Pid)
	if x.name == "postgres" {
		db = processorTime(x.t, cluster.Pid())
	}
	return server, db
}

// processorTime is what a process, its children and those that have ended used.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	ticks := 0
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		// See proc(5). The name before the bracket may hold anything.
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		number := func(i int) int { n, _ := strconv.Atoi(f[i]); return n }
		switch own := filepath.Base(filepath.Dir(stat)) == strconv.Itoa(pid); {
		case own:
			ticks += number(11) + number(12) + number(13) + number(14)
		case number(1) == pid:
			ticks += number(11) + number(12)
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
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
