package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evergrant/evergrant/internal/freeport"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"evergrant": func() { os.Exit(Main()) }})
}

// TestScripts runs testdata/script: one script a command, a user's story or a
// mistake. Besides testscript's own commands they know:
//
//	dev               start evergrant dev on free ports; sets EVERGRANT_SERVER,
//	                  EVERGRANT_API_KEY and EVERGRANT_SANDBOX_URL
//	serve ARG…        start evergrant serve with these arguments and wait until its
//	                  admin socket answers
//	halt              interrupt what dev or serve started; it must exit with 0
//	occupy NAME       listen on a free port; its address goes into $NAME
//	vacant NAME       find a free port; its address goes into $NAME
//	get FILE URL TEXT  get the URL with the header in the file; the answer is 200
//	                  and contains the text
//	exit N CMD…       run a command that must exit with N
//	mode FILE OCTAL   check a file's permissions
//	until FILE REGEXP  wait until the file, which another command writes, has this
//	replace FILE A B  replace text in a file; \n in B is a line break
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			// Sockets have short paths only, and the demo's folder must be seen to go.
			tmp, err := os.MkdirTemp("", "eg")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(tmp) })
			e.Setenv("TMPDIR", tmp)
			e.Values[slot{}] = &slot{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"dev": startDev, "serve": startServer, "halt": halt, "occupy": occupy, "vacant": vacant,
			"exit": exitsWith, "get": get, "mode": hasMode, "until": until, "replace": replaceText,
		},
	})
}

// running is what dev or serve started in a script.
type running struct {
	cmd    *exec.Cmd
	stderr *strings.Builder
}

// slot holds the script's running program, if there is one.
type slot struct{ *running }

// background finds the script's slot.
func background(ts *testscript.TestScript) *slot { return ts.Value(slot{}).(*slot) }

// start starts evergrant and returns a reader of its standard output.
func start(ts *testscript.TestScript, args ...string) *bufio.Reader {
	if background(ts).running != nil {
		ts.Fatalf("something is running already; halt it first")
	}
	path, err := exec.LookPath("evergrant")
	ts.Check(err)
	r := &running{cmd: exec.Command(path, args...), stderr: &strings.Builder{}}
	r.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "EVERGRANT_SANDBOX_URL", "CREDENTIALS_DIRECTORY"} {
		if v := ts.Getenv(name); v != "" {
			r.cmd.Env = append(r.cmd.Env, name+"="+v)
		}
	}
	r.cmd.Stderr = r.stderr
	out, err := r.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(r.cmd.Start())
	background(ts).running = r
	ts.Defer(func() {
		if background(ts).running == r {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
			ts.Logf("[running]\n%s", r.stderr)
		}
	})
	return bufio.NewReader(out)
}

func startDev(ts *testscript.TestScript, neg bool, args []string) {
	out := start(ts, append([]string{"dev", "--json", "--listen", "127.0.0.1:0", "--private-listen", "127.0.0.1:0",
		"--sandbox-listen", "127.0.0.1:0"}, args...)...)
	line, err := out.ReadBytes('\n')
	ts.Check(err)
	var urls devURLs
	ts.Check(json.Unmarshal(line, &urls))
	ts.Setenv("EVERGRANT_SERVER", urls.API)
	ts.Setenv("EVERGRANT_API_KEY", urls.Key)
	ts.Setenv("EVERGRANT_SANDBOX_URL", urls.Sandbox)
}

func startServer(ts *testscript.TestScript, neg bool, args []string) {
	start(ts, append([]string{"serve", "--listen", "127.0.0.1:0", "--private-listen", "127.0.0.1:0"}, args...)...)
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("unix", ts.MkAbs("admin.sock"))
		if err == nil {
			ts.Check(c.Close())
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("the server does not answer: %v", err)
		}
	}
}

func halt(ts *testscript.TestScript, neg bool, args []string) {
	r := background(ts).running
	if r == nil {
		ts.Fatalf("nothing is running")
	}
	ts.Check(r.cmd.Process.Signal(syscall.SIGTERM))
	err := r.cmd.Wait()
	background(ts).running = nil
	ts.Logf("[running]\n%s", r.stderr)
	if err != nil {
		ts.Fatalf("it ended with %v", err)
	}
	// What it said can be looked at like the output of any other command.
	ts.Check(os.WriteFile(ts.MkAbs("log"), []byte(r.stderr.String()), 0o600))
}

func occupy(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

func vacant(ts *testscript.TestScript, neg bool, args []string) {
	address, err := freeport.Take()
	ts.Check(err)
	ts.Setenv(args[0], address)
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	name, value, _ := strings.Cut(strings.TrimSpace(ts.ReadFile(args[0])), ": ")
	req, err := http.NewRequest(http.MethodGet, args[1], nil)
	ts.Check(err)
	req.Header.Set(name, value)
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode != http.StatusOK || !strings.Contains(string(body), args[2]) {
		ts.Fatalf("%s answered %d: %s", args[1], res.StatusCode, body)
	}
}

func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exit N CMD…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		code = ee.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code is %d, want %s", code, args[0])
	}
}

func hasMode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && want.Match(b) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("%s has no %q: %v\n%s", args[0], args[1], err, b)
		}
	}
}

func replaceText(ts *testscript.TestScript, neg bool, args []string) {
	path := ts.MkAbs(args[0])
	b, err := os.ReadFile(path)
	ts.Check(err)
	if !strings.Contains(string(b), args[1]) {
		ts.Fatalf("%s does not contain %q", filepath.Base(path), args[1])
	}
	with := strings.ReplaceAll(args[2], `\n`, "\n")
	ts.Check(os.WriteFile(path, []byte(strings.ReplaceAll(string(b), args[1], with)), 0o600))
}
