// Program dex is a real authorization server for the end-to-end tests: dex, with
// its memory storage and the connector that lets everybody in without a page. It
// rotates refresh tokens and answers invalid_request to one that was used before,
// which costs the grant nothing. It is a module of its own, so that nothing of it
// is in what ships.
//
// It listens on a free port of 127.0.0.1 and writes where, as a JSON object, on
// standard output. It ends when its standard input does.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
)

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: dex ISSUER REDIRECT_URI ACCESS_LIFE CLIENT_SECRET WEB_FOLDER")
	}
	life, err := time.ParseDuration(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	handler, err := newServer(os.Args[1], os.Args[2], life, os.Args[4], os.Args[5])
	if err != nil {
		log.Fatal(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{"event": "listening", "issuer": "http://" + l.Addr().String()})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the test has gone
		os.Exit(0)
	}()
	log.Fatal(http.Serve(l, handler))
}

// newServer returns dex. It knows the lifetime of ID tokens only and says that
// access tokens have the same.
func newServer(issuer, redirectURI string, life time.Duration, secret, web string) (http.Handler, error) {
	logger := logrus.New()
	clients := []storage.Client{{ID: "evergrant", Secret: secret, RedirectURIs: []string{redirectURI}, Name: "Evergrant"}}
	connectors := []storage.Connector{{ID: "mock", Type: "mockCallback", Name: "Anybody", ResourceVersion: "1"}}
	return server.NewServer(context.Background(), server.Config{
		Issuer:             issuer,
		Storage:            storage.WithStaticConnectors(storage.WithStaticClients(memory.New(logger), clients), connectors),
		SkipApprovalScreen: true,
		IDTokensValidFor:   life,
		Web:                server.WebConfig{Dir: web},
		Logger:             logger,
		PrometheusRegistry: prometheus.NewRegistry(),
	})
}
