package manager_test

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

// A web application with Evergrant inside: merchants connect on its own pages, and
// it calls the provider's API with tokens that are always fresh.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	mux := http.NewServeMux() // your application's
	app := httptest.NewServer(mux)
	defer app.Close()
	provider := httptest.NewServer(sandbox.New(sandbox.Config{})) // Lightspeed, on this machine
	defer provider.Close()
	dir, err := os.MkdirTemp("", "acme")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	m, err := manager.New(ctx, manager.Config{
		SQLite:     filepath.Join(dir, "evergrant.db"),
		MasterKeys: []manager.MasterKey{{ID: "2026-11", Key: manager.NewMasterKey()}}, // from your secret store
		PublicURL:  app.URL,
		Apps: map[string]manager.App{"k-series": {
			Provider:     "lightspeed-k",
			Environment:  "sandbox",
			ClientID:     "devp-v2-demo-acme",
			ClientSecret: "from your secret store",
			Scopes:       []string{"financial-api", "offline_access"},
		}},
		SandboxURL: provider.URL,
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	mux.Handle("/connect/", m.ConnectHandler())
	mux.Handle("/oauth/callback/", m.ConnectHandler())
	go m.Run(ctx)

	// A merchant follows a link, logs in at the provider and approves.
	link, err := m.Client().CreateLink(ctx, client.NewLink{Ref: "biz_42@k-series", BusinessName: "Café Nord"})
	if err != nil {
		log.Fatal(err)
	}
	if _, _, err := (sandbox.Visit{}).Follow(ctx, link.URL); err != nil {
		log.Fatal(err)
	}

	tok, err := m.Token(ctx, "biz_42@k-series", nil)
	if err != nil {
		log.Fatal(err)
	}
	res, err := evergrant.NewHTTPClient(m, "biz_42@k-series").Get(tok.BaseURL + "/f/data/businesses")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	conn, err := m.Client().Connection(ctx, "biz_42@k-series")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Status, conn.State)
	// Output: 200 OK connected
}
