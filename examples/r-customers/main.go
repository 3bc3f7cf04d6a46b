// R-customers prints every customer of every connected business of an R-Series
// app, one JSON object a line, and its progress on stderr.
//
//	EVERGRANT_SERVER=http://127.0.0.1:8421 EVERGRANT_API_KEY=evg_… r-customers --app r-series
//
// The key needs the scopes connections and tokens, the app
// employee:customers_read. Nobody logs in while it runs: to turn the page is not
// to authorize again.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/provider/lightspeed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "r-customers:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("r-customers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	app := flags.String("app", "r-series", "name of the app in Evergrant's configuration")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := client.FromEnv()
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	out := json.NewEncoder(stdout)
	businesses, customers, failed := 0, 0, 0
	filter := client.ConnectionFilter{App: *app, States: []string{"connected", "degraded"}}
	for conn, err := range client.All(func(cursor string) (client.Page[client.Connection], error) {
		filter.Cursor = cursor
		return c.Connections(ctx, filter)
	}) {
		if err != nil {
			return err
		}
		businesses++
		err := list(ctx, c, evergrant.Ref(conn.Ref), func(customer json.RawMessage) error {
			if customers++; customers%100 == 0 {
				fmt.Fprintf(stderr, "\r\x1b[K%d customers, now %s", customers, conn.Name)
			}
			return out.Encode(line{conn.Key, customer})
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil { // one business that cannot be read does not stop the others
			failed++
			fmt.Fprintf(stderr, "\r\x1b[K%s: %v\n", conn.Ref, err)
		}
	}
	fmt.Fprintf(stderr, "\r\x1b[K%d customers of %d businesses\n", customers, businesses)
	if failed > 0 {
		return fmt.Errorf("%d of %d businesses could not be read to the end", failed, businesses)
	}
	return nil
}

// line is what is printed of one customer.
type line struct {
	Business string          `json:"business"`
	Customer json.RawMessage `json:"customer"`
}

// list calls each with every customer of a business.
func list(ctx context.Context, src evergrant.Source, ref evergrant.Ref, each func(json.RawMessage) error) error {
	tok, err := src.Token(ctx, ref, nil)
	if err != nil {
		return err
	}
	// The bucket is the account's: one limiter for all who ask for it.
	limiter := lightspeed.NewLimiter()
	hc := &http.Client{Transport: limiter.Transport(evergrant.NewHTTPClient(src, ref).Transport)}
	defer hc.CloseIdleConnections()
	api := lightspeed.API{Client: hc, Base: tok.BaseURL, UserAgent: "evergrant-example-r-customers/1"}
	var whose struct {
		Account struct {
			ID string `json:"accountID"`
		}
	}
	if err := api.Get(ctx, "/API/V3/Account.json", nil, &whose); err != nil {
		return err
	}
	for customer, err := range lightspeed.All[json.RawMessage](ctx, api, lightspeed.List{
		Path:   "/API/V3/Account/" + whose.Account.ID + "/Customer.json",
		Paging: lightspeed.RNext,
	}) {
		if err != nil {
			return err
		}
		if err := each(customer); err != nil {
			return err
		}
	}
	return nil
}
