package freeport_test

import (
	"net"
	"testing"

	"github.com/evergrant/evergrant/internal/freeport"
)

// TestTake takes many ports: nobody gets one twice, all can be listened on, and
// none is one that the system gives away.
func TestTake(t *testing.T) {
	seen := make(map[string]bool)
	for range 200 {
		address, err := freeport.Take()
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s was handed out twice", address)
		}
		seen[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if port := l.Addr().(*net.TCPAddr).Port; port >= 32_768 {
			t.Errorf("the system may give port %d to anybody", port)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		// What keeps other processes from the port.
		if udp, err := net.ListenPacket("udp", address); err == nil {
			_ = udp.Close()
			t.Errorf("%s is not held", address)
		}
	}
}
