package oauth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"
)

func TestPublicAddr(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "100.63.255.255": true, "172.32.0.1": true, "192.0.1.1": true, "223.255.255.254": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "64:ff9b::8.8.8.8": true, "::ffff:8.8.8.8": true,

		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "::ffff:127.0.0.1": false,
		"10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "fd00::1": false, "fd00:ec2::254": false, "::ffff:10.0.0.1": false,
		"169.254.169.254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false,
		"224.0.0.1": false, "ff02::1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false, "255.255.255.255": false, "240.0.0.1": false,
		"100.64.0.1": false, "100.127.255.255": false, "192.0.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "198.19.255.255": false,
		"198.51.100.1": false, "203.0.113.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::127.0.0.1": false, "64:ff9b:1::1": false,
		"::10.0.0.1": false, "2002:a00:1::": false, "2001::1": false, "2001:db8::1": false, "100::1": false,
	} {
		if got := publicAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("publicAddr(%s) = %t, want %t", addr, got, want)
		}
	}
}

func TestNoAddressIsBothPublicAndLoopback(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6")
		for _, a := range []netip.Addr{netip.AddrFrom16([16]byte(b)), netip.AddrFrom4([4]byte(b))} {
			if publicAddr(a) && (loopbackAddr(a) || a.Unmap().IsPrivate() || a.IsMulticast() || a.IsLinkLocalUnicast()) {
				t.Errorf("%s is public", a)
			}
			if mapped := netip.AddrFrom16(a.As16()); publicAddr(a) != publicAddr(mapped) {
				t.Errorf("%s and %s differ", a, mapped)
			}
		}
	})
}

// answering returns a resolver that resolves every name to one address, as a
// name under an attacker's control can at any moment.
func answering(t *testing.T, addr string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response = true
			m.Additionals = nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
				}}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func TestTheGuardLooksAtWhatANameResolvesTo(t *testing.T) {
	srv, got := serve(t, answerJSON(200, goodTokens))
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard()
	g.public.Resolver = answering(t, "127.0.0.1")
	s := newSender(t, SenderConfig{DialContext: g.dial})
	a := s.Send(t.Context(), refreshOf("https://rebound.example:"+port+"/token"))
	if a.Sent || a.Err == nil || a.Err.Error() != "rebound.example: "+errNotPublic.Error() {
		t.Errorf("got %v, err %v", a, a.Err)
	}

	g.loopback.Resolver = answering(t, "10.0.0.1")
	if _, err := g.dial(t.Context(), "tcp", "localhost:"+port); err != nil && !errors.Is(err, errNotLoopback) {
		t.Errorf("localhost: %v", err) // most machines know localhost without asking
	}
	if got.count() != 0 {
		t.Error("a request arrived")
	}
}

func TestLoopbackHostsReachLoopback(t *testing.T) {
	srv, _ := serve(t, answerJSON(200, goodTokens))
	conn, err := newGuard().dial(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestTheOperatorsProxyMayBePrivate(t *testing.T) {
	srv, _ := serve(t, answerJSON(200, goodTokens))
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	g := newGuard()
	g.proxy = "proxy.corp:" + port
	g.any.Resolver = answering(t, "127.0.0.1")
	conn, err := g.dial(t.Context(), "tcp", "Proxy.Corp:"+port)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestLiteralPrivateAddressesAreRefusedBeforeAnyProxy(t *testing.T) {
	for _, host := range []string{"10.0.0.1", "[fd00::1]:8443", "169.254.169.254"} {
		req := &http.Request{URL: &url.URL{Scheme: "https", Host: host}}
		if _, err := newGuard().via(req); !errors.Is(err, errNotPublic) {
			t.Errorf("%s: got %v", host, err)
		}
	}
}

func TestHostPort(t *testing.T) {
	for raw, want := range map[string]string{
		"https://A.example": "a.example:443", "http://a.example": "a.example:80",
		"https://a.example:8443/x": "a.example:8443", "socks5://p": "p:1080", "https://[::1]": "[::1]:443",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostPort(u); got != want {
			t.Errorf("hostPort(%s) = %q, want %q", raw, got, want)
		}
	}
}
