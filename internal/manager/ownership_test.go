package manager_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
	"github.com/evergrant/evergrant/internal/oracle"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// inFlight runs during while the grant's renewal waits at the provider, and
// lets the renewal end afterwards.
func (k *kit) inFlight(during func()) {
	k.t.Helper()
	k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{After: 5 * time.Second} })
	for len(k.oracle.Sends()) == 0 {
		k.sleep(time.Second)
	}
	during()
	k.sleep(10 * time.Second)
	k.oracle.SetFault(nil)
}

func TestDisconnectDuringARefreshStays(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.inFlight(func() {
			if _, err := k.Disconnect(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		})
		if got := k.status(ref); got.Reason != grant.DisconnectedByUs {
			t.Errorf("the late answer made it %s/%s", got.State, got.Reason)
		}
		k.sleep(2 * time.Hour)
		if n := len(k.oracle.Sends()); n != 1 {
			t.Errorf("a disconnected grant was sent again: %d sends", n)
		}
		_, err := k.Handout(t.Context(), ref, evergrant.TokenOptions{})
		if !errors.Is(err, evergrant.ErrReauthorize) {
			t.Errorf("got %v", err)
		}
	})
}

func TestConsentDuringARefreshWinsWhateverTheRefreshBrings(t *testing.T) {
	for name, late := range map[string]oracle.Fault{
		"success": {After: 5 * time.Second},
		"refusal": {Before: 5 * time.Second, Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`},
		"nothing": {After: 5 * time.Second, LoseAnswer: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return late })
				for len(k.oracle.Sends()) == 0 {
					k.sleep(time.Second)
				}
				access, refresh := k.oracle.Issue("cafe, second consent")
				_, created, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{
					AccessToken: secret.New(access), RefreshToken: secret.New(refresh), ExpiresIn: time.Hour,
				}})
				if err != nil || created {
					t.Fatalf("created %v, %v", created, err)
				}
				k.sleep(10 * time.Second)
				k.oracle.SetFault(nil)
				if h := k.token(ref); h.Token.AccessToken != access {
					t.Error("the older epoch's answer became current")
				}
				k.sleep(time.Hour)
				if got := k.status(ref); got.State != grant.Connected {
					t.Errorf("the second consent is %s/%s", got.State, got.Reason)
				}
			})
		})
	}
}

func TestManyRefusalsAtOnceAreNotBelieved(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
		var refs []grant.Ref
		for i := range 60 {
			refs = append(refs, k.adopt(fmt.Sprintf("cafe_%d", i)))
		}
		k.oracle.SetFault(func(oracle.Send) oracle.Fault {
			return oracle.Fault{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`}
		})
		k.sleep(time.Hour + 10*time.Minute)
		for _, ref := range refs {
			if got := k.status(ref); got.Reason != grant.AppPaused {
				t.Fatalf("%s is %s/%s", ref, got.State, got.Reason)
			}
		}
		if n := k.count(grant.EventAppPaused); n != 1 {
			t.Errorf("%d events for one incident", n)
		}
		k.oracle.SetFault(nil)
		k.sleep(30 * time.Second)
		for _, ref := range refs {
			if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
				t.Fatalf("%s did not recover: %s", ref, h.State)
			}
		}
	})
}

func TestNothingButARefusalKillsAGrant(t *testing.T) {
	for name, fault := range map[string]oracle.Fault{
		"captive portal":  {Status: 200, Body: "<html>welcome to the hotel</html>"},
		"gateway":         {Status: 502, Body: "<html>bad gateway</html>"},
		"firewall":        {Status: 403, Body: "<html>forbidden</html>"},
		"proxy":           {Status: 407},
		"redirect":        {Status: 307, Header: http.Header{"Location": {"https://elsewhere.example/token"}}},
		"server error":    {Status: 500, Body: `{"error":"server_error"}`},
		"slow down":       {Status: 429, Header: http.Header{"Retry-After": {"30"}}},
		"slow down until": {Status: 429, Header: http.Header{"Retry-After": {"Sat, 01 Jan 2000 01:05:10 GMT"}}}, // a bubble begins at midnight of that day
		"wrong type":      {Status: 200, Header: http.Header{"Content-Type": {"image/png"}}, Body: "\x89PNG"},
		"empty":           {Status: 200},
		"half an answer":  {Status: 200, Body: `{"access_token":"at-half`},
		"error inside":    {Status: 200, Body: `{"error":"server_error"}`},
		"lost request":    {LoseRequest: true},
		"silence":         {Before: time.Hour, LoseRequest: true},
		"unknown error":   {Status: 400, Body: `{"error":"teapot"}`},
		"our own mistake": {Status: 400, Body: `{"error":"invalid_request"}`},
		"bad client":      {Status: 401, Body: `{"error":"invalid_client"}`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return fault })
				k.sleep(time.Hour + 5*time.Minute)
				if got := k.status(ref); got.State != grant.Degraded {
					t.Errorf("it is %s/%s", got.State, got.Reason)
				}
				k.oracle.SetFault(nil)
				k.sleep(30 * time.Second)
				if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("no recovery: %s", h.State)
				}
				if r := k.oracle.Report(); r.Overlaps != 0 || r.TwoLate != 0 {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

func TestANetworkThatFailsKillsNoGrant(t *testing.T) {
	for name, failing := range map[string]func() (net.Conn, error){
		"no such host": func() (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "id.example", IsNotFound: true}
		},
		"resolver times out": func() (net.Conn, error) {
			return nil, &net.DNSError{Err: "timeout", Name: "id.example", IsTimeout: true}
		},
		"refused":         func() (net.Conn, error) { return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED} },
		"no route":        func() (net.Conn, error) { return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH} },
		"reset at once":   func() (net.Conn, error) { return &resetConn{}, nil },
		"no descriptors":  func() (net.Conn, error) { return nil, &net.OpError{Op: "dial", Err: syscall.EMFILE} },
		"bad certificate": func() (net.Conn, error) { return nil, x509.UnknownAuthorityError{} },
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			o := kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}, dial: func(next dialer) dialer {
				return func(ctx context.Context, network, addr string) (net.Conn, error) {
					if broken.Load() {
						return failing()
					}
					return next(ctx, network, addr)
				}
			}}
			bubble(t, o, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				broken.Store(true)
				k.sleep(time.Hour + 5*time.Minute)
				if got := k.status(ref); got.State != grant.Degraded {
					t.Errorf("it is %s/%s", got.State, got.Reason)
				}
				broken.Store(false)
				k.sleep(30 * time.Second)
				if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("no recovery: %s", h.State)
				}
				if r := k.oracle.Report(); r.Sends != r.Rotations {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// resetConn is a connection that the other side has reset.
type resetConn struct{ net.Conn }

func (*resetConn) Read([]byte) (int, error)         { return 0, syscall.ECONNRESET }
func (*resetConn) Write([]byte) (int, error)        { return 0, syscall.ECONNRESET }
func (*resetConn) Close() error                     { return nil }
func (*resetConn) SetDeadline(time.Time) error      { return nil }
func (*resetConn) SetReadDeadline(time.Time) error  { return nil }
func (*resetConn) SetWriteDeadline(time.Time) error { return nil }
func (*resetConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*resetConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

func TestOddAnswersKeepTheGrantAlive(t *testing.T) {
	for name, edit := range map[string]func(map[string]any){
		"lifetime as text":           func(m map[string]any) { m["expires_in"] = "3600" },
		"lifetime as a fraction":     func(m map[string]any) { m["expires_in"] = 3600.5 },
		"no lifetime":                func(m map[string]any) { delete(m, "expires_in") },
		"lifetime null":              func(m map[string]any) { m["expires_in"] = nil },
		"refresh lifetime zero":      func(m map[string]any) { m["refresh_expires_in"] = 0 },
		"token type in capitals":     func(m map[string]any) { m["token_type"] = "BEARER" },
		"no token type":              func(m map[string]any) { delete(m, "token_type") },
		"narrower scope":             func(m map[string]any) { m["scope"] = "some" },
		"members nobody asked about": func(m map[string]any) { m["account"] = map[string]any{"id": 310004455667788} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.FamilyKill}}, func(t *testing.T, k *kit) {
				ref := k.adopt("cafe")
				k.oracle.SetFault(func(oracle.Send) oracle.Fault { return oracle.Fault{Edit: edit} })
				k.sleep(2*time.Hour + 30*time.Minute)
				if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
					t.Errorf("the grant is %s", h.State)
				}
			})
		})
	}
}

func TestGrantWithoutARefreshTokenEndsWithItsAccessToken(t *testing.T) {
	bubble(t, kitOptions{oracle: oracle.Options{Rotation: oracle.Strict}}, func(t *testing.T, k *kit) {
		access, _ := k.oracle.Issue("cafe")
		ref := grant.Ref{Key: "cafe", App: "app"}
		_, _, err := k.Create(t.Context(), manager.NewConnection{Ref: ref, Tokens: &manager.Adoption{AccessToken: secret.New(access), ExpiresIn: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		k.sleep(time.Hour - time.Minute)
		k.token(ref)
		k.sleep(2 * time.Minute)
		if got := k.status(ref); got.Reason != grant.DeadlinePassed {
			t.Errorf("it is %s/%s", got.State, got.Reason)
		}
		if len(k.oracle.Sends()) != 0 {
			t.Error("something was sent")
		}
	})
}

// panicking is a store whose first commit panics.
type panicking struct {
	store.Store
	done atomic.Bool
}

func (p *panicking) Commit(ctx context.Context, r store.Renewal) error {
	if !p.done.Swap(true) {
		panic("a bug of ours")
	}
	return p.Store.Commit(ctx, r)
}

func TestPanicAfterTheAnswerCostsNoGrant(t *testing.T) {
	o := kitOptions{
		oracle: oracle.Options{Rotation: oracle.FamilyKill},
		wrap:   func(s store.Store) store.Store { return &panicking{Store: s} },
	}
	bubble(t, o, func(t *testing.T, k *kit) {
		ref := k.adopt("cafe")
		k.sleep(2*time.Hour + time.Minute)
		synctest.Wait()
		if h := k.token(ref); h.State != grant.Connected || !k.oracle.AccessValid(h.Token.AccessToken) {
			t.Errorf("the grant is %s", h.State)
		}
		if r := k.oracle.Report(); r.Sends != 2 {
			t.Errorf("%+v", r)
		}
	})
}
