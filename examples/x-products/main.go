// X-products prints every product of every connected business of an X-Series
// app, one JSON object a line, and its progress on stderr.
//
//	EVERGRANT_SERVER=http://127.0.0.1:8421 EVERGRANT_API_KEY=evg_… x-products --app x-series
//
// The key needs the scopes connections and tokens, the app products:read. Nobody
// logs in while it runs: to turn the page is not to authorize again.
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
		fmt.Fprintln(os.Stderr, "x-products:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("x-products", flag.ContinueOnError)
	flags.SetOutput(stderr)
	app := flags.String("app", "x-series", "name of the app in Evergrant's configuration")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c, err := client.FromEnv()
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()
	out := json.NewEncoder(stdout)
	businesses, products, failed := 0, 0, 0
	filter := client.ConnectionFilter{App: *app, States: []string{"connected", "degraded"}}
	for conn, err := range client.All(func(cursor string) (client.Page[client.Connection], error) {
		filter.Cursor = cursor
		return c.Connections(ctx, filter)
	}) {
		if err != nil {
			return err
		}
		businesses++
		err := list(ctx, c, evergrant.Ref(conn.Ref), func(product json.RawMessage) error {
			if products++; products%100 == 0 {
				fmt.Fprintf(stderr, "\r\x1b[K%d products, now %s", products, conn.Name)
			}
			return out.Encode(line{conn.Key, product})
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil { // one business that cannot be read does not stop the others
			failed++
			fmt.Fprintf(stderr, "\r\x1b[K%s: %v\n", conn.Ref, err)
		}
	}
	fmt.Fprintf(stderr, "\r\x1b[K%d products of %d businesses\n", products, businesses)
	if failed > 0 {
		return fmt.Errorf("%d of %d businesses could not be read to the end", failed, businesses)
	}
	return nil
}

// line is what is printed of one product.
type line struct {
	Business string          `json:"business"`
	Product  json.RawMessage `json:"product"`
}

// list calls each with every product of a business.
func list(ctx context.Context, src evergrant.Source, ref evergrant.Ref, each func(json.RawMessage) error) error {
	tok, err := src.Token(ctx, ref, nil)
	if err != nil {
		return err
	}
	// The window is the retailer's: one limiter for all who ask for it.
	limiter := lightspeed.NewLimiter()
	hc := &http.Client{Transport: limiter.Transport(evergrant.NewHTTPClient(src, ref).Transport)}
	defer hc.CloseIdleConnections()
	api := lightspeed.API{Client: hc, Base: tok.BaseURL, UserAgent: "evergrant-example-x-products/1"}
	// To read only what changed since, begin with Query: url.Values{"after": …}, the
	// highest version seen.
	for product, err := range lightspeed.All[json.RawMessage](ctx, api, lightspeed.List{
		Path:   "/api/2.0/products",
		Paging: lightspeed.XVersions,
	}) {
		if err != nil {
			return err
		}
		if err := each(product); err != nil {
			return err
		}
	}
	return nil
}
