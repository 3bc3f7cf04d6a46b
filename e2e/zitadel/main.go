// Program zitadel is a real authorization server for the end-to-end tests: the
// library of ZITADEL, certified by the OpenID Foundation, with the memory storage
// and the login page of its own example. It rotates refresh tokens, revokes the
// access token before them at once, and answers invalid_grant to one that was
// used before, which costs the grant nothing. It is a module of its own, so that
// nothing of it is in what ships.
//
// It listens on a free port of 127.0.0.1 and writes where, as a JSON object, on
// standard output. It ends when its standard input does.
package main

import (
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: zitadel ISSUER REDIRECT_URI CLIENT_SECRET")
	}
	issuer := os.Args[1]
	storage.RegisterClients(storage.WebClient("evergrant", os.Args[3], os.Args[2]))
	handler := exampleop.SetupServer(issuer, storage.NewStorage(storage.NewUserStore(issuer)), slog.New(slog.DiscardHandler), false)
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
