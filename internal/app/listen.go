package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// listen opens the public and the private listener, or takes over those that
// were given.
func (a *App) listen() (err error) {
	a.public, a.private = a.o.Public, a.o.Private
	if a.public == nil {
		if a.public, err = Listen(a.o.Config.Server.Listen, "server.listen"); err != nil {
			return err
		}
	}
	a.undo.Add("public listener", func(context.Context) error { return closeListener(a.public) })
	if a.private == nil {
		if a.private, err = Listen(a.o.Config.Server.PrivateListen, "server.private_listen"); err != nil {
			return err
		}
	}
	a.undo.Add("private listener", func(context.Context) error { return closeListener(a.private) })
	return nil
}

// privateMode lets the owner's group use a private listener that is a socket.
// It asks for an API key like any other.
const privateMode = 0o660

// Listen listens at an address, host:port or unix: and a path. Its errors are one
// line that says which setting to change.
func Listen(address, setting string) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(address, "unix:")
	var l net.Listener
	var err error
	if isSocket {
		l, err = listenSocket(path, privateMode)
	} else {
		l, err = net.Listen("tcp", address)
	}
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, unix.EADDRINUSE):
		return nil, fmt.Errorf("listen %s: address in use; stop the other program or set %s", address, setting)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen %s: no such address on this machine; set %s", address, setting)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("listen %s: not allowed; set %s to something this user may use", address, setting)
	}
	return nil, fmt.Errorf("listen %s: %w; set %s", address, err, setting)
}

// closeListener closes a listener that may be closed already.
func closeListener(l net.Listener) error {
	if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// socket is a listening Unix socket that removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

// Addr returns the socket's path, not the one it was made at.
func (s socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close stops listening and removes the file.
func (s socket) Close() error {
	if err := s.UnixListener.Close(); err != nil {
		return err
	}
	return os.Remove(s.path)
}

// maxSocketPath is what fits into a sockaddr_un on every system we build for.
const maxSocketPath = 103

// listenSocket listens on a Unix socket that has the given mode from its first
// moment: it is made in a folder nobody else can enter and moved into place. A
// socket that nobody listens on any more is replaced.
func listenSocket(path string, mode fs.FileMode) (net.Listener, error) {
	if inUse(path) {
		return nil, fmt.Errorf("socket %s: %w", path, unix.EADDRINUSE)
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, fmt.Errorf("make socket %s: %w", path, err)
	}
	defer os.RemoveAll(folder)
	made := filepath.Join(folder, "s")
	if n := max(len(path), len(made)) - maxSocketPath; n > 0 {
		return nil, fmt.Errorf("the path %s is %d characters too long for a socket; use a shorter folder", path, n)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(made, mode), os.Rename(made, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("make socket %s: %w", path, err), l.Close())
	}
	return socket{l, path}, nil
}

// inUse reports whether somebody listens at path.
func inUse(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
