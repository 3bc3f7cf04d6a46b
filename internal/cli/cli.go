// Package cli is the command line: it reads flags, calls a server's API or runs
// one, and turns what comes of it into text, JSON and an exit code.
//
// Data goes to standard output and talk to standard error, so that output can be
// piped. Secrets are taken from files, the environment or a terminal, never from
// a flag, where every user of the machine could read them.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes; scripts decide by them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitNotAllowed  = 4
	exitReauthorize = 5 // the business must authorize again
	exitTemporary   = 6 // try again later
)

// root is the grammar of the command line. Flags here are for every command.
type root struct {
	Server string `placeholder:"URL" help:"Server to talk to, its private address. EVERGRANT_API_KEY holds the key. [$EVERGRANT_SERVER]"`
	Config string `short:"c" placeholder:"FILE" help:"Configuration file: of the server to run, or of the one on this machine to talk to."`
	JSON   bool   `name:"json" help:"Print JSON."`

	Dev        devCmd        `cmd:"" help:"Run a server, the Lightspeed sandbox and demo businesses; nothing to set up."`
	Init       initCmd       `cmd:"" help:"Make a configuration and a master key."`
	Serve      serveCmd      `cmd:"" help:"Run the server."`
	Token      tokenCmd      `cmd:"" help:"Print a working access token of a business."`
	Curl       curlCmd       `cmd:"" help:"Send a request to a provider's API with the token of a business."`
	Run        runCmd        `cmd:"" help:"Run a program with a token of a business in its environment."`
	Credential credentialCmd `cmd:"" help:"Answer a program that asks for a credential: git, kubectl and their like."`
	Agent      agentCmd      `cmd:"" help:"Keep files filled with working tokens, for programs that read one; --config names the agent's file."`
	Why        whyCmd        `cmd:"" help:"Say how a connection is, why, and who has to do what."`
	Dashboard  dashboardCmd  `cmd:"" help:"Make a link that lets one person into the dashboard, once."`
	Doctor     doctorCmd     `cmd:"" help:"Look at everything a server needs, and say what to do about what is wrong."`
	Explain    explainCmd    `cmd:"" help:"Say what a reason, a flag or a problem code means."`
	Connection connectionCmd `cmd:"" help:"List, show, refresh and disconnect connections."`
	Link       linkCmd       `cmd:"" help:"Make and manage links for merchants."`
	App        appCmd        `cmd:"" help:"List, show, pause and resume apps."`
	Event      eventCmd      `cmd:"" help:"Read the event log."`
	Webhook    webhookCmd    `cmd:"" help:"List, make and test webhooks."`
	Listen     listenCmd     `cmd:"" help:"Forward events to a program on this machine as they happen."`
	Key        keyCmd        `cmd:"" help:"Make and revoke API keys."`
	MasterKey  masterKeyCmd  `cmd:"" name:"master-key" help:"Make and rotate master keys."`
	DB         dbCmd         `cmd:"" name:"db" help:"Look at, check, migrate, back up and move the database."`
	ConfigFile configCmd     `cmd:"" name:"config" help:"Check and show a configuration."`
	Sandbox    sandboxCmd    `cmd:"" help:"Run the Lightspeed sandbox on its own, or control one."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print shell completion."`
	Man        manCmd        `cmd:"" help:"Print the manual page: evergrant man | man -l -"`
}

// session is what a command works with.
type session struct {
	ctx       context.Context
	root      *root
	stdin     io.Reader
	stdout    io.Writer
	stderr    io.Writer
	lookupEnv func(string) (string, bool)
	version   string
	model     *kong.Application
}

// Main runs the command line of this process and returns its exit code. SIGINT
// and SIGTERM end the command in order, a SIGINT after that at once. A SIGTERM
// after that changes nothing: timeout(1) and others tell the process and then its
// group, and whoever loses patience has SIGKILL.
func Main() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Reset(syscall.SIGINT)
		cancel()
	}()
	s := &session{
		ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv, version: version(),
	}
	return s.run(os.Args[1:])
}

// version returns the version the binary was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "devel"
}

// run parses args and runs the command they name.
func (s *session) run(args []string) int {
	s.root = &root{}
	helped := false
	parser, err := kong.New(s.root,
		kong.Name("evergrant"),
		kong.Description("Keeps OAuth grants alive for every business your app serves.\n\n"+
			"Exit status: 0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 the business must authorize again, 6 temporary, 7 doctor found errors."),
		kong.Writers(s.stdout, s.stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return s.fail(fmt.Errorf("command line: %w", err))
	}
	s.model = parser.Model
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if helped {
		return exitDone
	}
	if err != nil {
		return s.fail(usage("%v; see: evergrant %s", err, strings.TrimSpace(helpPath(err)+" --help")))
	}
	return s.fail(command.Run(s))
}

// helpPath returns the command that a parse error is about.
func helpPath(err error) string {
	var pe *kong.ParseError
	if !errors.As(err, &pe) || pe.Context == nil {
		return ""
	}
	return pe.Context.Command()
}

// fail tells of an error and returns the exit code it stands for.
func (s *session) fail(err error) int {
	var f *failure
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &f):
		if f.told {
			return f.code
		}
	default:
		f = &failure{code: exitFailed}
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		fmt.Fprintln(s.stderr, "evergrant: "+line)
	}
	return f.code
}

// failure is an error with an exit code of its own.
type failure struct {
	code int
	err  error
	told bool // everything about it is on the terminal already
}

// Error returns what went wrong and what to do next.
func (f *failure) Error() string { return f.err.Error() }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.err }

// usage is a mistake in the command line.
func usage(format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// exit ends a command that has said what there is to say with a code.
func exit(code int) error {
	return &failure{code: code, err: fmt.Errorf("exit status %d", code), told: true}
}

// say talks to the person at the terminal.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.stderr, format+"\n", args...)
}
