package config

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// checkURL reports why s cannot be an address that browsers are sent to: it must
// be https, or http on this machine, with a host and without credentials.
func checkURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is not a URL; write one like https://connect.acme.example")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must begin with https://")
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("has no host; write one like https://connect.acme.example")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, errors.New("may use http only on this machine (localhost, 127.0.0.1, [::1]); write https://")
	case u.User != nil:
		return nil, errors.New("may not contain a user or a password")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return nil, errors.New("may not contain a fragment (#…)")
	}
	return u, nil
}

// checkOrigin is checkURL for addresses that are a scheme, a host and a port.
func checkOrigin(s string) error {
	u, err := checkURL(s)
	if err != nil {
		return err
	}
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery {
		return errors.New("must be only a scheme and a host, like https://connect.acme.example, without a path")
	}
	return nil
}

// checkCollector reports why s cannot be where traces are sent; "" can. They hold
// no secret, so http will do on any host.
func checkCollector(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return nil
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return errors.New("must be the address of a collector, like http://127.0.0.1:4318")
	case u.User != nil:
		return errors.New("may not contain a user or a password; headers come from OTEL_EXPORTER_OTLP_HEADERS")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return errors.New("may not contain a query (?…) or a fragment (#…)")
	}
	return nil
}

// checkReturnPattern reports why s cannot be an entry of return_url_allow.
func checkReturnPattern(s string) error {
	base, _ := strings.CutSuffix(s, "*")
	if strings.Contains(base, "*") {
		return errors.New("may contain * only at the very end")
	}
	u, err := checkURL(base)
	if err != nil {
		return err
	}
	if u.Path == "" && base != s {
		return errors.New("needs a / after the host before the *, or it would match other hosts too")
	}
	if u.RawQuery != "" {
		return errors.New("may not contain a query (?…)")
	}
	return nil
}

// loopback reports whether a host says by itself that it is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
