package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/app"
	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/sandbox"
)

type devCmd struct {
	Listen        string `placeholder:"ADDR" default:"127.0.0.1:8420" help:"Where merchants are served; port 0 takes a free one."`
	PrivateListen string `placeholder:"ADDR" default:"127.0.0.1:8421" help:"Where the API is served."`
	SandboxListen string `placeholder:"ADDR" default:"127.0.0.1:8422" help:"Where the sandbox is served."`
	Quiet         bool   `short:"q" help:"Do not show the log."`
}

// dev is a server, a sandbox and the demo businesses, in a folder that goes with
// them.
type dev struct {
	s       *session
	dir     string
	clock   *clock
	log     *slog.Logger
	level   slog.LevelVar
	key     secret.String
	app     *app.App
	sandbox *sandbox.Sandbox
	urls    devURLs
	client  *client.Client
}

// devURLs is where everything is, as --json prints it.
type devURLs struct {
	API     string `json:"api"`
	Public  string `json:"public"`
	Sandbox string `json:"sandbox"`
	Key     string `json:"key"`
	// Dashboard is a link that lets one person in, once.
	Dashboard string `json:"dashboard"`
}

// clock is the time of the server and of the sandbox: real time, and whatever
// the sandbox's clock was advanced by.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// Run runs everything until it is interrupted, and removes it.
func (c *devCmd) Run(s *session) (err error) {
	dir, err := os.MkdirTemp("", "evergrant-dev-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &dev{s: s, dir: dir, clock: &clock{}, key: access.NewSecret()}
	d.level.Set(slog.LevelError) // until the demo is set up, its log is only noise
	d.log = slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: &d.level}))

	var listeners [3]net.Listener
	for i, address := range []struct{ at, flag string }{
		{c.Listen, "--listen"}, {c.PrivateListen, "--private-listen"}, {c.SandboxListen, "--sandbox-listen"},
	} {
		if listeners[i], err = app.Listen(address.at, address.flag); err != nil {
			return err
		}
		defer listeners[i].Close()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	ended := make(chan error, 1)
	d.urls = devURLs{
		API: "http://" + listeners[1].Addr().String(), Public: "http://" + listeners[0].Addr().String(),
		Sandbox: "http://" + listeners[2].Addr().String(), Key: d.key.Reveal(),
	}
	d.startSandbox(ctx, listeners[2], ended)
	if err := d.startServer(ctx, listeners[0], listeners[1]); err != nil {
		return err
	}
	// The server goes first, so that what it does last still finds its provider.
	defer func() {
		err = errors.Join(err, d.app.Stop(context.WithoutCancel(ctx)))
		cancel()
		err = errors.Join(err, <-ended)
	}()
	done, err := d.connectAll(ctx)
	if err != nil {
		return d.interrupted(err)
	}
	name, _ := s.lookupEnv("USER")
	login, err := d.client.CreateDashboardLogin(ctx, client.NewDashboardLogin{Role: string(access.Operator), Name: name})
	if err != nil {
		return d.interrupted(err)
	}
	d.urls.Dashboard = login.URL
	if err := d.announce(done); err != nil {
		return err
	}
	if !c.Quiet {
		d.level.Set(slog.LevelInfo)
	}
	err = d.app.Wait(ctx)
	d.level.Set(slog.LevelError)
	s.say("\nEnding; nothing is left behind.")
	return err
}

// interrupted makes an interrupt during the set-up no error.
func (d *dev) interrupted(err error) error {
	if d.s.ctx.Err() != nil {
		return nil
	}
	return err
}

// startSandbox serves the sandbox. Its clock begins a little behind and is
// advanced once the demo is set up: that is how a refusal that must be confirmed
// ten seconds later is confirmed at once.
func (d *dev) startSandbox(ctx context.Context, l net.Listener, ended chan<- error) {
	d.clock.advance(-devHeadStart)
	d.sandbox = sandbox.New(sandbox.Config{
		URL: d.urls.Sandbox, Logger: d.log, OnAdvance: d.clock.advance,
		Now: func() time.Time { return time.Now().Add(-devHeadStart) },
		// Every series' tokens live as long as K-Series' do, so that to advance an hour
		// shows all of them being renewed.
		AccessLifetime: devAccessLifetime,
		Clients:        []sandbox.Client{{ID: devClientR, Series: appR, RedirectURI: d.urls.Public + "/oauth/callback/" + appR}},
	})
	go func() { ended <- serveSandbox(ctx, l, d.sandbox, d.log) }()
}

const (
	devAccessLifetime = 25 * time.Minute
	devClientR        = "evergrant-demo-r"
	devClientX        = "evergrant-demo-x"
)

// devHeadStart is more than the time between two refusals that prove a grant dead.
const devHeadStart = 12 * time.Second

// startServer writes a configuration as a user would and starts a server with it.
func (d *dev) startServer(ctx context.Context, public, private net.Listener) error {
	for name, content := range map[string]string{
		"evergrant.yaml": fmt.Sprintf(devConfig, d.urls.Public, devClientR, devClientX),
		"master.key":     seal.GenerateMaster().Reveal(),
		"client-secret":  access.NewSecret().Reveal(),
		"api.key":        d.key.Reveal(),
	} {
		if err := writeNew(filepath.Join(d.dir, name), content+"\n"); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(d.configFile())
	if err != nil {
		return fmt.Errorf("read the demo's configuration: %w", err)
	}
	// The demo is the same whatever this user's environment says.
	conf, err := config.Parse(text, config.Source{
		File: d.configFile(), Dir: d.dir, ReadFile: os.ReadFile,
		LookupEnv: func(name string) (string, bool) { return d.urls.Sandbox, name == "EVERGRANT_SANDBOX_URL" },
	})
	if err != nil {
		return err
	}
	if err := app.Harden(); err != nil {
		return err
	}
	d.app, err = app.New(ctx, app.Options{
		Config: conf, Version: d.s.version, Logger: d.log, Now: d.clock.now, Public: public, Private: private,
	})
	if err != nil {
		return err
	}
	if err := d.app.Start(ctx); err != nil {
		return errors.Join(err, d.app.Stop(context.WithoutCancel(ctx)))
	}
	d.client, err = client.New(client.Config{URL: d.urls.API, Key: d.key.Reveal(), UserAgent: "evergrant-dev"})
	return err
}

func (d *dev) configFile() string { return filepath.Join(d.dir, "evergrant.yaml") }

// devConfig is the demo's configuration, but for its public URL and the client
// ids that tell no series.
const devConfig = `version: 1
server: {public_url: %s}
encryption: {keys: [{id: k1, file: ./master.key}]}
apps:
  k-series:
    provider: lightspeed-k
    environment: sandbox
    client_id: devp-v2-demo-evergrant
    client_secret: {file: ./client-secret}
    scopes: [financial-api, orders-api, offline_access]
    required_scopes: [financial-api]
  r-series:
    provider: lightspeed-r
    environment: sandbox
    client_id: %s
    client_secret: {file: ./client-secret}
    scopes: ["employee:all"]
  x-series:
    provider: lightspeed-x
    environment: sandbox
    client_id: %s
    client_secret: {file: ./client-secret}
    scopes: ["outlets:read", "retailer:read", "payment_types:read", "registers:read", "customers:read", "products:read", "sales:read"]
links: {return_url_allow: ["http://localhost:3000/*"]}
brand: {name: Acme Loyalty, support: {email: help@acme.example}}
api_keys: [{name: dev, key: {file: ./api.key}, scopes: [admin]}]
`

// announce says what there is: for people, or as one line of JSON.
func (d *dev) announce(made []demoResult) error {
	if d.s.root.JSON {
		return d.s.printLine(d.urls)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nEvergrant is running with %d demo businesses. Ctrl-C ends it and leaves nothing behind.\n\n", len(made))
	for _, row := range [][2]string{
		{"API", d.urls.API}, {"Merchants", d.urls.Public}, {"Sandbox", d.urls.Sandbox + "  Lightspeed on this machine; every password is \"sandbox\""},
		{"Key", d.urls.Key}, {"Dashboard", d.urls.Dashboard + "  works once, for five minutes"},
	} {
		fmt.Fprintf(&b, "  %-10s %s\n", row[0], row[1])
	}
	b.WriteString("\n")
	for _, r := range made {
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-28s %-22s %s", r.ref(), r.state, r.note), " ") + "\n")
	}
	program := programName()
	fmt.Fprintf(&b, `
A token that works:
  curl -H "Authorization: Bearer %[1]s" %[2]s/v1/connections/cafe_nord@k-series/token

Who has to do what about the one that lost its access:
  EVERGRANT_SERVER=%[2]s EVERGRANT_API_KEY=%[1]s %[4]s why trattoria_paola@k-series

An hour later the token is another one, and works:
  curl -d '{"advance":"1h"}' %[3]s/_sandbox/clock && curl -H "Authorization: Bearer %[1]s" %[2]s/v1/connections/cafe_nord@k-series/token

Another link into the dashboard:
  EVERGRANT_SERVER=%[2]s EVERGRANT_API_KEY=%[1]s %[4]s dashboard

`, d.urls.Key, d.urls.API, d.urls.Sandbox, program)
	_, err := fmt.Fprint(d.s.stdout, b.String())
	return err
}

// programName is how this program was started, as far as it can be typed again.
func programName() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/evergrant"
	}
	return os.Args[0]
}
