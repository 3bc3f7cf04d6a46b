// Program fosite is a real authorization server for the end-to-end tests: ory's
// library with its own memory store, which rotates refresh tokens and revokes
// everything of a grant when one of them comes twice. It is a module of its own,
// so that nothing of it is in what ships.
//
// It listens on a free port of 127.0.0.1, lets everybody in as anna, and tells
// the test what happens, one JSON object a line on standard output. It ends when
// its standard input does.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
	"golang.org/x/crypto/bcrypt"
)

// subject is who approves.
const subject = "anna"

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: fosite REDIRECT_URI ACCESS_LIFE_SECONDS CLIENT_SECRET")
	}
	life, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	s, err := newServer(os.Args[1], time.Duration(life)*time.Second, os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s.tell(event{Event: "listening", Issuer: "http://" + l.Addr().String()})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the test has gone
		os.Exit(0)
	}()
	log.Fatal(http.Serve(l, s.routes()))
}

// event is one line the test reads.
type event struct {
	Event     string `json:"event"`
	Issuer    string `json:"issuer,omitempty"`
	GrantType string `json:"grant_type,omitempty"`
	Error     string `json:"error,omitempty"`
	Detail    string `json:"detail,omitempty"`
}

// server is the authorization server with what the test can do to it.
type server struct {
	oauth  fosite.OAuth2Provider
	client *fosite.DefaultClient
	out    *json.Encoder

	// mu makes requests take turns: the library's memory store does not lock its
	// maps in all places.
	mu   sync.Mutex
	drop bool   // the answer to the next refresh is lost after it was committed
	lost []byte // the answer that was lost last
}

func newServer(redirectURI string, life time.Duration, secret string) (*server, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	config := &fosite.Config{
		AccessTokenLifespan:   life,
		RefreshTokenLifespan:  24 * time.Hour,
		AuthorizeCodeLifespan: time.Minute,
		GlobalSecret:          key,
		HashCost:              bcrypt.MinCost,
		EnforcePKCE:           true,
		RefreshTokenScopes:    []string{"offline_access"},
	}
	s := &server{out: json.NewEncoder(os.Stdout)}
	s.client = &fosite.DefaultClient{
		ID: "evergrant", RedirectURIs: []string{redirectURI}, Scopes: []string{"sales", "offline_access"},
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
	}
	if err := s.setSecret(secret); err != nil {
		return nil, err
	}
	memory := storage.NewMemoryStore()
	memory.Clients[s.client.ID] = s.client
	s.oauth = compose.Compose(config, &store{memory, s}, &compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(config)},
		compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2RefreshTokenGrantFactory, compose.OAuth2PKCEFactory,
		compose.OAuth2TokenIntrospectionFactory, compose.OAuth2TokenRevocationFactory)
	return s, nil
}

func (s *server) setSecret(secret string) error {
	hashed, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	s.client.Secret = hashed
	return err
}

// store is the library's, and tells when a refresh token is found used.
type store struct {
	*storage.MemoryStore
	server *server
}

// GetRefreshTokenSession implements oauth2.RefreshTokenStorage.
func (s *store) GetRefreshTokenSession(ctx context.Context, signature string, session fosite.Session) (fosite.Requester, error) {
	r, err := s.MemoryStore.GetRefreshTokenSession(ctx, signature, session)
	if errors.Is(err, fosite.ErrInactiveToken) {
		s.server.tell(event{Event: "reuse"})
	}
	return r, err
}

func (s *server) tell(e event) { _ = s.out.Encode(e) }

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /auth", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("GET /me", s.me)
	mux.HandleFunc("POST /test/drop", func(http.ResponseWriter, *http.Request) { s.drop = true })
	mux.HandleFunc("GET /test/lost", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(s.lost) })
	mux.HandleFunc("POST /test/secret", func(w http.ResponseWriter, r *http.Request) {
		secret, err := io.ReadAll(r.Body)
		if err == nil {
			err = s.setSecret(string(secret))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

func (s *server) authorize(w http.ResponseWriter, r *http.Request) {
	req, err := s.oauth.NewAuthorizeRequest(r.Context(), r)
	if err != nil {
		s.refused("authorize", err)
		s.oauth.WriteAuthorizeError(r.Context(), w, req, err)
		return
	}
	for _, scope := range req.GetRequestedScopes() {
		req.GrantScope(scope)
	}
	res, err := s.oauth.NewAuthorizeResponse(r.Context(), req, &fosite.DefaultSession{Subject: subject})
	if err != nil {
		s.refused("authorize", err)
		s.oauth.WriteAuthorizeError(r.Context(), w, req, err)
		return
	}
	s.oauth.WriteAuthorizeResponse(r.Context(), w, req, res)
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	req, err := s.oauth.NewAccessRequest(r.Context(), r, &fosite.DefaultSession{})
	var res fosite.AccessResponder
	if err == nil {
		res, err = s.oauth.NewAccessResponse(r.Context(), req)
	}
	if err != nil {
		s.refused(r.PostForm.Get("grant_type"), err)
		s.oauth.WriteAccessError(r.Context(), w, req, err)
		return
	}
	s.tell(event{Event: "issued", GrantType: r.PostForm.Get("grant_type")})
	if s.drop && r.PostForm.Get("grant_type") == "refresh_token" {
		s.drop = false
		kept := httptest.NewRecorder()
		s.oauth.WriteAccessResponse(r.Context(), kept, req, res)
		s.lost = kept.Body.Bytes()
		s.tell(event{Event: "dropped"})
		panic(http.ErrAbortHandler) // cuts the connection without an answer
	}
	s.oauth.WriteAccessResponse(r.Context(), w, req, res)
}

func (s *server) revoke(w http.ResponseWriter, r *http.Request) {
	err := s.oauth.NewRevocationRequest(r.Context(), r)
	if err == nil {
		s.tell(event{Event: "revoked"})
	}
	s.oauth.WriteRevocationResponse(r.Context(), w, err)
}

// me is the API: it says whose token it is.
func (s *server) me(w http.ResponseWriter, r *http.Request) {
	_, req, err := s.oauth.IntrospectToken(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, &fosite.DefaultSession{})
	if err != nil {
		http.Error(w, "the token is no good", http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"sub": req.GetSession().GetSubject()})
}

func (s *server) refused(grantType string, err error) {
	e := fosite.ErrorToRFC6749Error(err)
	s.tell(event{Event: "refused", GrantType: grantType, Error: e.ErrorField, Detail: e.HintField})
}
