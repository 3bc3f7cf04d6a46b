// K-sales prints every sale of every connected business of a K-Series app, one
// JSON object a line, and its progress on stderr.
//
//	EVERGRANT_SERVER=http://127.0.0.1:8421 EVERGRANT_API_KEY=evg_… k-sales --app k-series --since 48h
//
// The key needs the scopes connections and tokens. Nobody logs in while it runs:
// each business has approved once, and all pages are read with the tokens that
// Evergrant keeps alive.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/provider/lightspeed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "k-sales:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("k-sales", flag.ContinueOnError)
	flags.SetOutput(stderr)
	app := flags.String("app", "k-series", "name of the app in Evergrant's configuration")
	since := flags.Duration("since", 24*time.Hour, "how far back to look, at most 8760h")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := client.FromEnv()
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	l := lister{server: c, out: json.NewEncoder(stdout), progress: stderr, from: time.Now().Add(-*since).UTC()}
	filter := client.ConnectionFilter{App: *app, States: []string{"connected", "degraded"}}
	for conn, err := range client.All(func(cursor string) (client.Page[client.Connection], error) {
		filter.Cursor = cursor
		return c.Connections(ctx, filter)
	}) {
		if err != nil {
			return err
		}
		if err := l.business(ctx, conn); err != nil {
			return err
		}
	}
	fmt.Fprintf(stderr, "\r\x1b[K%d sales of %d businesses\n", l.sales, l.businesses)
	if l.failed > 0 {
		return fmt.Errorf("%d of %d locations could not be read to the end", l.failed, l.locations)
	}
	return nil
}

// lister prints sales and counts them.
type lister struct {
	server                               *client.Client
	out                                  *json.Encoder
	progress                             io.Writer
	from                                 time.Time
	businesses, locations, sales, failed int
}

// line is what is printed of one sale.
type line struct {
	Business string          `json:"business"`
	Location string          `json:"location"`
	Sale     json.RawMessage `json:"sale"`
}

// business lists the sales of one business. A location that cannot be read is
// told and does not stop the others; what ends the program is an error.
func (l *lister) business(ctx context.Context, conn client.Connection) error {
	l.businesses++
	coverage, err := l.server.Locations(ctx, evergrant.Ref(conn.Ref))
	if err != nil {
		return err
	}
	limiter := lightspeed.NewLimiter() // one for all who ask for this business
	for _, loc := range coverage.Locations {
		if len(loc.Grants) == 0 {
			fmt.Fprintf(l.progress, "\r\x1b[K%s: nobody who approved sees %s\n", conn.Ref, loc.Name)
			continue
		}
		l.locations++
		err := l.location(ctx, limiter, conn, loc)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			l.failed++
			fmt.Fprintf(l.progress, "\r\x1b[K%s, %s: %v\n", conn.Ref, loc.Name, err)
		}
	}
	return nil
}

// location lists the sales of one location.
func (l *lister) location(ctx context.Context, limiter *lightspeed.Limiter, conn client.Connection, loc client.Location) error {
	// Of a business that several users have approved, each sees some of the locations
	// only, so the token is one that reaches this one.
	way := &evergrant.Transport{Source: l.server, Ref: evergrant.Ref(conn.Ref), Options: evergrant.TokenOptions{Location: loc.ID}}
	tok, err := l.server.Token(ctx, way.Ref, &way.Options)
	if err != nil {
		return err
	}
	hc := &http.Client{Transport: limiter.Transport(way)}
	defer hc.CloseIdleConnections()
	api := lightspeed.API{Client: hc, Base: tok.BaseURL, UserAgent: "evergrant-example-k-sales/1"}
	for sale, err := range lightspeed.All[json.RawMessage](ctx, api, lightspeed.List{
		Path:   "/f/v2/business-location/" + loc.ID + "/sales",
		Query:  url.Values{"from": {l.from.Format(time.RFC3339)}},
		Paging: lightspeed.KSalesTokens,
	}) {
		if err != nil {
			return err
		}
		if err := l.out.Encode(line{conn.Key, loc.ID, sale}); err != nil {
			return err
		}
		if l.sales++; l.sales%100 == 0 {
			fmt.Fprintf(l.progress, "\r\x1b[K%d sales, now %s", l.sales, loc.Name)
		}
	}
	return nil
}
