package e2e_test

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"
)

// cable is how one replica reaches the database. It can be cut.
type cable struct {
	listener net.Listener
	database *url.URL

	mu    sync.Mutex
	how   cut
	whole chan struct{} // closed while the cable is
	links map[*link]bool
	work  sync.WaitGroup
}

// link is one connection over a cable.
type link struct{ replica, database net.Conn }

// cut is what becomes of connections over a cable that is cut.
type cut string

// The cuts.
const (
	notCut cut = ""
	// silent: nothing arrives any more, and neither side knows.
	silent cut = "silently"
	// noticed: the database has found out and has ended its sessions; the replica
	// does not know.
	noticed cut = "noticed by the database"
	// refused: all connections end, and there are no new ones.
	refused cut = "refused"
)

// newCable lays a cable to the database of a connection string until the test
// ends.
func newCable(t *testing.T, to string) *cable {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: l, database: u, whole: make(chan struct{}), links: map[*link]bool{}}
	close(c.whole)
	c.work.Go(c.serve)
	t.Cleanup(func() {
		_ = l.Close()
		c.heal()
		c.mu.Lock()
		for k := range c.links {
			k.close()
		}
		c.mu.Unlock()
		c.work.Wait()
	})
	return c
}

// url is the connection string that leads over the cable.
func (c *cable) url() string {
	u := *c.database
	u.Host = c.listener.Addr().String()
	return u.String()
}

// cut cuts the cable.
func (c *cable) cut(how cut) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.how, c.whole = how, make(chan struct{})
	for k := range c.links {
		switch how {
		case noticed:
			_ = k.database.Close()
		case refused:
			k.close()
		}
	}
}

// heal makes the cable whole. What was on its way arrives, except where one side
// has given up.
func (c *cable) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.how != notCut {
		c.how = notCut
		close(c.whole)
	}
}

func (c *cable) serve() {
	for {
		replica, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			c.work.Go(func() { c.connect(replica) })
		}
	}
}

// connect carries one connection.
func (c *cable) connect(replica net.Conn) {
	c.mu.Lock()
	how, whole := c.how, c.whole
	c.mu.Unlock()
	if how == refused {
		_ = replica.Close()
		return
	}
	<-whole
	database, err := net.Dial("tcp", c.database.Host)
	if err != nil {
		_ = replica.Close()
		return
	}
	k := &link{replica, database}
	c.mu.Lock()
	c.links[k] = true
	c.mu.Unlock()
	var ways sync.WaitGroup
	ways.Go(func() { c.carry(k, replica, database) })
	ways.Go(func() { c.carry(k, database, replica) })
	ways.Wait()
	c.mu.Lock()
	delete(c.links, k)
	c.mu.Unlock()
}

// carry carries what comes from one side of a link to the other, until one of
// them ends it and the cable is whole.
func (c *cable) carry(k *link, from, to net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		c.mu.Lock()
		whole := c.whole
		c.mu.Unlock()
		<-whole
		if n > 0 {
			_, _ = to.Write(b[:n])
		}
		if err != nil {
			k.close()
			return
		}
	}
}

func (k *link) close() {
	_ = k.replica.Close()
	_ = k.database.Close()
}

// newCabledReplica is [newReplica] for one that reaches the database of the
// fleet's first over a cable.
func newCabledReplica(t *testing.T, c *cable, first *server) *server {
	t.Helper()
	s := newReplica(t, "", first)
	first.secret("cable", c.url())
	s.storage = "{postgres: {file: secrets/cable}}"
	return s
}
