package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/seal"
)

func ephemeral(t testing.TB) *seal.Ring {
	t.Helper()
	r, err := seal.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// drawSlot draws slots that are close to each other, so that encodings that run
// into one another would meet.
func drawSlot(t *rapid.T, label string) seal.Slot {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("a1\x00\x01")), 0, 3, -1)
	number := rapid.OneOf(rapid.Int64Range(-1, 2), rapid.Int64())
	return seal.Slot{
		Table: text.Draw(t, label+" table"), Row: text.Draw(t, label+" row"),
		Epoch: number.Draw(t, label+" epoch"), Seq: number.Draw(t, label+" seq"),
	}
}

func TestACiphertextOpensInItsOwnSlotOnly(t *testing.T) {
	t.Parallel()
	r := ephemeral(t)
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSlot(t, "a"), drawSlot(t, "b")
		plaintext := rapid.SliceOf(rapid.Byte()).Draw(t, "plaintext")
		sealed, err := r.Seal(a, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(sealed) - len(plaintext); got > seal.Overhead {
			t.Fatalf("sealing adds %d bytes, more than Overhead", got)
		}
		got, err := r.Open(b, sealed)
		switch {
		case a == b && (err != nil || !bytes.Equal(got, plaintext)):
			t.Fatalf("Open in the same slot = %q, %v; want %q", got, err, plaintext)
		case a != b && !errors.Is(err, seal.ErrOpen):
			t.Fatalf("Open of %+v in %+v = %q, %v; want ErrOpen", a, b, got, err)
		}
	})
}

func TestNeighbouringSlotsDoNotOpenEachOther(t *testing.T) {
	t.Parallel()
	r := ephemeral(t)
	slots := []seal.Slot{
		{Table: seal.Credentials, Row: "grant_1", Epoch: 1, Seq: 2},
		{Table: seal.Credentials, Row: "grant_1", Epoch: 2, Seq: 1},
		{Table: seal.Credentials, Row: "grant_1", Epoch: 1, Seq: 3},
		{Table: seal.Credentials, Row: "grant_2", Epoch: 1, Seq: 2},
		{Table: seal.Orphans, Row: "grant_1", Epoch: 1, Seq: 2},
		{Table: seal.Spool, Row: "grant_1", Epoch: 1, Seq: 2},
		{Table: "credentialsg", Row: "rant_1", Epoch: 1, Seq: 2},
		{Table: "", Row: "credentialsgrant_1", Epoch: 1, Seq: 2},
		{},
	}
	for i, a := range slots {
		sealed, err := r.Seal(a, []byte("refresh token"))
		if err != nil {
			t.Fatal(err)
		}
		for j, b := range slots {
			if _, err := r.Open(b, sealed); (err == nil) != (i == j) {
				t.Errorf("opening %+v in %+v: %v", a, b, err)
			}
		}
	}
}

func TestOneFlippedBitKeepsItShut(t *testing.T) {
	t.Parallel()
	r := ephemeral(t)
	slot := seal.Slot{Table: seal.Orphans, Row: "grant_1", Epoch: 1}
	sealed, err := r.Seal(slot, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sealed) * 8 {
		forged := bytes.Clone(sealed)
		forged[i/8] ^= 1 << (i % 8)
		if _, err := r.Open(slot, forged); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("bit %d flipped: %v, want ErrOpen", i, err)
		}
	}
	for n := range sealed {
		if _, err := r.Open(slot, sealed[:n]); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("cut to %d bytes: %v, want ErrOpen", n, err)
		}
	}
}

func TestAnotherRingOpensNothing(t *testing.T) {
	t.Parallel()
	slot := seal.Slot{Table: seal.Credentials, Row: "grant_1", Epoch: 1, Seq: 4}
	sealed, err := ephemeral(t).Seal(slot, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = ephemeral(t).Open(slot, sealed)
	if !errors.Is(err, seal.ErrOpen) {
		t.Fatalf("Open = %v, want ErrOpen", err)
	}
	if got, want := err.Error(), "open credentials grant_1: sealed bytes do not open"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestAnEmptyPlaintextIsSealedToo(t *testing.T) {
	t.Parallel()
	r := ephemeral(t)
	for _, plaintext := range [][]byte{nil, {}} {
		sealed, err := r.Seal(seal.Slot{}, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Open(seal.Slot{}, sealed); err != nil || len(got) != 0 {
			t.Errorf("Open = %q, %v", got, err)
		}
	}
}

func TestSealingTwiceLooksDifferent(t *testing.T) {
	t.Parallel()
	r := ephemeral(t)
	a, errA := r.Seal(seal.Slot{}, []byte("same"))
	b, errB := r.Seal(seal.Slot{}, []byte("same"))
	if errA != nil || errB != nil || bytes.Equal(a, b) {
		t.Errorf("equal ciphertexts of one plaintext (%v, %v)", errA, errB)
	}
}

func TestARingServesManyAtOnce(t *testing.T) {
	t.Parallel()
	r := ephemeral(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				slot := seal.Slot{Table: seal.Spool, Row: fmt.Sprint(g), Seq: int64(i)}
				want := fmt.Sprint("plaintext ", g, i)
				sealed, err := r.Seal(slot, []byte(want))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := r.Open(slot, sealed); err != nil || string(got) != want {
					t.Errorf("Open = %q, %v; want %q", got, err, want)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzOpen: what Seal did not make does not open, and nothing of it is told.
func FuzzOpen(f *testing.F) {
	r := ephemeral(f)
	slot := seal.Slot{Table: seal.Credentials, Row: "grant_1", Epoch: 1, Seq: 1}
	sealed, err := r.Seal(slot, []byte("plaintext"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil))
	f.Add([]byte{1})
	f.Add(sealed[:5])
	f.Add(sealed[5:])
	f.Add(append(bytes.Clone(sealed), 0))
	f.Add(bytes.Repeat([]byte{1}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Equal(b, sealed) {
			return
		}
		got, err := r.Open(slot, b)
		if got != nil || !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("Open = %q, %v; want ErrOpen", got, err)
		}
		if len(b) > 8 && strings.Contains(err.Error(), string(b)) {
			t.Fatalf("the error quotes the ciphertext: %v", err)
		}
	})
}

func BenchmarkSealAndOpen1500Bytes(b *testing.B) {
	r := ephemeral(b)
	plaintext := bytes.Repeat([]byte("x"), 1500)
	slot := seal.Slot{Table: seal.Credentials, Row: "grant_01KAHXAMPLE", Epoch: 1, Seq: 1}
	b.SetBytes(int64(len(plaintext)))
	b.ReportAllocs()
	for b.Loop() {
		sealed, err := r.Seal(slot, plaintext)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Open(slot, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
