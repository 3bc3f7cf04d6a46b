// Package freeport finds ports of 127.0.0.1 for servers of tests that need to
// know theirs beforehand, or that end and come back to it.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// The ports are below those that the system gives to outgoing connections and to
// whoever asks for any (32768 and up on Linux): of those, one whose server is
// down for a moment may be somebody else's when it comes back.
const lowest, span = 12_000, 18_000

var taken struct {
	sync.Mutex
	last int // 0: none yet
	// held are UDP sockets on the ports that were handed out. They keep other
	// processes that ask here from the same ones, and end with this process.
	held []net.PacketConn
}

// Take returns the address of a port that nobody listens on. Nobody else who asks
// gets the same while this process lives. It is safe for concurrent use.
func Take() (address string, err error) {
	taken.Lock()
	defer taken.Unlock()
	if taken.last == 0 {
		taken.last = lowest + rand.IntN(span)
	}
	for range span {
		taken.last = lowest + (taken.last+1-lowest)%span
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(taken.last))
		hold, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = hold.Close()
			continue
		}
		taken.held = append(taken.held, hold)
		return address, l.Close()
	}
	return "", errors.New("no free port on 127.0.0.1")
}
