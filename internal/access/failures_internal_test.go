package access

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

func TestPlacesThatFailAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	f := NewFailures(func() time.Time { return now })
	for i := range uint32(mostPlaces + 100) {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], i)
		if wait := f.Another(netip.PrefixFrom(netip.AddrFrom4(a), 32)); wait != 0 {
			t.Fatalf("the first failure of %v waits %s", a, wait)
		}
	}
	if n := len(f.forgotten); n > mostPlaces {
		t.Errorf("%d places are remembered", n)
	}
}
