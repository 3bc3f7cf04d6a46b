package e2e_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/sandbox"
)

// TestDevShowsTheProductAndLeavesNothingBehind is a newcomer's first minute.
func TestDevShowsTheProductAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	var urls struct{ API, Public, Sandbox, Key string }
	interrupt := startDev(t, temp, &urls)

	c, err := client.New(client.Config{URL: urls.API, Key: urls.Key})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	first, err := c.Token(t.Context(), "cafe_nord@k-series", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := ask(t, http.MethodGet, first.BaseURL+"/f/data/businesses", first.AccessToken, ""); status != http.StatusOK {
		t.Errorf("the sandbox's API answered %d to the first token: %s", status, body)
	}
	// Two lifetimes of 25 minutes.
	if status, body := ask(t, http.MethodPost, urls.Sandbox+"/_sandbox/clock", "", `{"advance":"50m"}`); status != http.StatusOK {
		t.Fatalf("the sandbox's clock: %d %s", status, body)
	}
	second, err := c.Token(t.Context(), "cafe_nord@k-series", nil)
	if err != nil {
		t.Fatal(err)
	}
	if second.AccessToken == first.AccessToken {
		t.Error("two lifetimes later the token is the same")
	}
	if status, body := ask(t, http.MethodGet, second.BaseURL+"/f/data/businesses", second.AccessToken, ""); status != http.StatusOK {
		t.Errorf("two lifetimes later the sandbox's API answered %d to the token: %s", status, body)
	}
	var report sandbox.Report
	eventually(t, time.Minute, "every connected demo business is renewed", func() bool {
		_, body := ask(t, http.MethodGet, urls.Sandbox+"/_sandbox/report", "", "")
		if err := json.Unmarshal(body, &report); err != nil {
			t.Fatal(err)
		}
		return report.Refreshes >= report.Grants.Live
	})
	if len(report.Violations) != 0 {
		t.Errorf("violations: %+v", report.Violations)
	}
	interrupt()
	left, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("evergrant dev left %s behind", f.Name())
	}
}

// startDev starts evergrant dev on free ports with its own folder for temporary
// files, and reads the line it announces itself with. The function it returns
// interrupts it and waits for its end.
func startDev(t *testing.T, temp string, urls any) (interrupt func()) {
	t.Helper()
	cmd := exec.Command(binary, "dev", "--json",
		"--listen", "127.0.0.1:0", "--private-listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + temp}
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	end := func(s os.Signal) error {
		_ = cmd.Process.Signal(s)
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			return errors.New("it still runs a minute later")
		}
	}
	interrupted := false
	t.Cleanup(func() {
		if !interrupted {
			_ = end(os.Kill)
		}
		if t.Failed() {
			t.Logf("the end of its log:\n%s", tail([]byte(log.String())))
		}
	})
	line, readErr := bufio.NewReader(out).ReadBytes('\n')
	go func() { ended <- cmd.Wait() }() // everything it prints has been read
	if readErr != nil || json.Unmarshal(line, urls) != nil {
		t.Fatalf("evergrant dev announced %q (%v)", line, readErr)
	}
	return func() {
		t.Helper()
		interrupted = true
		if err := end(syscall.SIGINT); err != nil {
			t.Errorf("after Ctrl-C: %v", err)
		}
	}
}

// ask sends one request; a bearer token of "" is none.
func ask(t *testing.T, method, url, bearer, body string) (status int, answer []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}
