package oauth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
)

// guard dials. A URL that names a loopback host reaches loopback addresses and
// nothing else; every other URL reaches public addresses and nothing else,
// whatever its name resolves to at that moment.
type guard struct {
	loopback, public, any net.Dialer
	proxy                 string // host:port of the operator's proxy, which may be private
}

// Why the guard refuses an address.
var (
	errNotLoopback = errors.New("a loopback host resolved to an address that is not loopback; use 127.0.0.1")
	errNotPublic   = errors.New("the host resolved to an address that is not public, which provider URLs must not reach")
)

func newGuard() *guard {
	g := &guard{
		loopback: net.Dialer{Timeout: connectTimeout, ControlContext: only(loopbackAddr, errNotLoopback)},
		public:   net.Dialer{Timeout: connectTimeout, ControlContext: only(publicAddr, errNotPublic)},
		any:      net.Dialer{Timeout: connectTimeout},
	}
	// Only https ever goes through a proxy (see CheckEndpoint), so that there is
	// at most one. A setting that cannot be read fails every request in net/http.
	probe := &http.Request{URL: &url.URL{Scheme: "https", Host: "provider.invalid"}}
	if u, err := http.ProxyFromEnvironment(probe); err == nil && u != nil {
		g.proxy = hostPort(u)
	}
	return g
}

// dial has the type of net.Dialer.DialContext. The address is that of the URL,
// not resolved yet.
func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return nil, err
	case g.proxy != "" && strings.EqualFold(addr, g.proxy):
		return g.any.DialContext(ctx, network, addr)
	case loopbackHost(host):
		return g.loopback.DialContext(ctx, network, addr)
	}
	return g.public.DialContext(ctx, network, addr)
}

// via has the type of http.Transport.Proxy. A proxy resolves names itself, where
// the guard cannot look; a literal address is still refused here.
func (g *guard) via(req *http.Request) (*url.URL, error) {
	a, err := netip.ParseAddr(req.URL.Hostname())
	if err == nil && !loopbackAddr(a) && !publicAddr(a) {
		return nil, errNotPublic
	}
	return http.ProxyFromEnvironment(req)
}

// only makes a dialer refuse, after resolution, the addresses that ok does not
// accept.
func only(ok func(netip.Addr) bool, refusal error) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !ok(ap.Addr()) {
			return refusal
		}
		return nil
	}
}

// loopbackHost reports whether the host of a URL says by itself that it is this
// machine.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && loopbackAddr(a)
}

func loopbackAddr(a netip.Addr) bool { return a.Unmap().IsLoopback() }

// publicAddr reports whether an address is reachable on the Internet and means
// one machine there.
func publicAddr(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false // loopback, link-local, multicast and unspecified are not global unicast
	}
	if v4, ok := embedded(a); ok {
		return publicAddr(v4)
	}
	for _, p := range specialPurpose() {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// nat64 is the prefix under which IPv6-only networks reach IPv4 (RFC 6052).
var nat64 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x00, 0x64, 0xff, 0x9b}), 96)

// embedded returns the IPv4 address inside a NAT64 address.
func embedded(a netip.Addr) (netip.Addr, bool) {
	if !nat64.Contains(a) {
		return netip.Addr{}, false
	}
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[12:])), true
}

// specialPurpose lists the prefixes of the IANA special-purpose registries (RFC
// 6890) that count as global unicast and are not the Internet.
func specialPurpose() []netip.Prefix {
	v4 := func(a, b, c, d byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
	}
	v6 := func(a, b, c, d byte, e, f byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{a, b, c, d, e, f}), bits)
	}
	return []netip.Prefix{
		v4(0, 0, 0, 0, 8),                    // this network
		v4(100, 64, 0, 0, 10),                // carrier-grade NAT
		v4(192, 0, 0, 0, 24),                 // protocol assignments
		v4(192, 0, 2, 0, 24),                 // documentation
		v4(192, 88, 99, 0, 24),               // 6to4 relay
		v4(198, 18, 0, 0, 15),                // benchmarks
		v4(198, 51, 100, 0, 24),              // documentation
		v4(203, 0, 113, 0, 24),               // documentation
		v4(240, 0, 0, 0, 4),                  // reserved, broadcast
		v6(0x00, 0x64, 0xff, 0x9b, 0, 1, 48), // local NAT64
		v6(0x01, 0, 0, 0, 0, 0, 64),          // discard
		v6(0x20, 0x01, 0, 0, 0, 0, 23),       // Teredo, ORCHID and other assignments
		v6(0x20, 0x01, 0x0d, 0xb8, 0, 0, 32), // documentation
		v6(0x20, 0x02, 0, 0, 0, 0, 16),       // 6to4
		v6(0x3f, 0xff, 0, 0, 0, 0, 20),       // documentation
		v6(0x5f, 0, 0, 0, 0, 0, 16),          // segment routing
		v6(0xfe, 0xc0, 0, 0, 0, 0, 10),       // site-local
		v6(0, 0, 0, 0, 0, 0, 96),             // IPv4-compatible
	}
}

// hostPort is where net/http dials for a URL.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}
