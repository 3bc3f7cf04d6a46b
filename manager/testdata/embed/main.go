// Embed is a program of another module with Evergrant inside: it connects a
// business of the sandbox and asks the provider's API something. A test builds and
// runs it.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/manager"
	"github.com/evergrant/evergrant/sandbox"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	lightspeed := httptest.NewServer(sandbox.New(sandbox.Config{}))
	defer lightspeed.Close()
	dir, err := os.MkdirTemp("", "embed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	mux := http.NewServeMux()
	web := httptest.NewServer(mux)
	defer web.Close()

	events := make(chan client.Event, 16)
	m, err := manager.New(ctx, manager.Config{
		SQLite:     filepath.Join(dir, "evergrant.db"),
		MasterKeys: []manager.MasterKey{{ID: "k1", Key: manager.NewMasterKey()}},
		PublicURL:  web.URL,
		SandboxURL: lightspeed.URL,
		Apps: map[string]manager.App{"k-series": {
			Provider: "lightspeed-k", Environment: "sandbox", ClientID: "devp-v2-demo-embed", ClientSecret: "embed",
			Scopes: []string{"financial-api", "offline_access"},
		}},
		Logger:  slog.New(slog.DiscardHandler),
		OnEvent: func(_ context.Context, e client.Event) { events <- e },
	})
	if err != nil {
		return err
	}
	defer m.Close()
	mux.Handle("/connect/", m.ConnectHandler())
	mux.Handle("/oauth/callback/", m.ConnectHandler())
	mux.Handle("/v1/", m.APIHandler())
	ctx, stop := context.WithCancel(ctx)
	over := make(chan error, 1)
	go func() { over <- m.Run(ctx) }()

	link, err := m.Client().CreateLink(ctx, client.NewLink{Ref: "biz_42@k-series"})
	if err != nil {
		return err
	}
	if _, _, err := (sandbox.Visit{}).Follow(ctx, link.URL); err != nil {
		return err
	}
	for e := range events {
		if e.Type == "connection.connected" {
			fmt.Println(e.Ref, "connected")
			break
		}
	}
	tok, err := m.Token(ctx, "biz_42@k-series", &evergrant.TokenOptions{})
	if err != nil {
		return err
	}
	res, err := evergrant.NewHTTPClient(m, "biz_42@k-series").Get(tok.BaseURL + "/f/data/businesses")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	stop()
	return <-over
}
