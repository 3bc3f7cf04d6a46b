package spool

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/seal"
)

// FuzzReadSegment: whatever a file holds, reading it ends, every frame it yields
// is byte for byte what appendFrame makes, frames do not overlap, and only what
// was sealed for a frame's slot opens.
func FuzzReadSegment(f *testing.F) {
	ring, err := seal.Ephemeral()
	if err != nil {
		f.Fatal(err)
	}
	sealed := map[string]Entry{}
	var whole []byte
	for i := range 3 {
		e := entry(i, 40)
		plaintext, err := e.plaintext()
		must(f, err)
		ct, err := ring.Seal(sealSlot(e.AttemptID, e.Of), plaintext)
		must(f, err)
		whole = appendFrame(whole, e.AttemptID, e.Of, ct)
		sealed[e.AttemptID] = e
	}
	one := len(whole) / 3
	f.Add([]byte(nil))
	f.Add(whole)
	f.Add(append(bytes.Clone(whole), make([]byte, 100)...))
	f.Add(whole[:len(whole)-7])
	f.Add(whole[one/2:])
	f.Add(append(make([]byte, 40), whole...))
	f.Add(append(bytes.Repeat([]byte(magic), 20), whole...))
	f.Add(appendFrame(appendFrame(nil, "att_x", grant.Version{}, []byte("no seal")), "att_y", grant.Version{}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := scan(b)
		if s.used > len(b) || len(bytes.TrimRight(b[s.used:], "\x00")) != 0 {
			t.Fatalf("used %d of %d, but something follows", s.used, len(b))
		}
		end := 0
		for _, fr := range s.frames {
			if fr.off < end {
				t.Fatalf("a frame at %d begins before %d", fr.off, end)
			}
			end = fr.end
			again := appendFrame(nil, fr.id, fr.of, fr.sealed)
			again[stateAt] = b[fr.off+stateAt]
			if !bytes.Equal(again, b[fr.off:fr.end]) {
				t.Fatalf("the frame at %d is not what appendFrame makes", fr.off)
			}
			plaintext, err := ring.Open(fr.slot(), fr.sealed)
			if err != nil {
				continue
			}
			e, err := parseEntry(fr.id, fr.of, plaintext)
			if d := diff(sealed[fr.id], e); err != nil || d != "" {
				t.Fatalf("an entry that nobody wrote: %v\n%s", err, d)
			}
		}
	})
}

// FuzzParseEntry: what is accepted is encoded again to an equal entry.
func FuzzParseEntry(f *testing.F) {
	plaintext, err := entry(1, 30).plaintext()
	must(f, err)
	f.Add(plaintext)
	f.Add([]byte(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte("\x02{}body"))
	f.Add([]byte("\x09{\"c\":\"x\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		of := grant.Version{Epoch: 1, Seq: 2}
		e, err := parseEntry("att_1", of, b)
		if err != nil {
			return
		}
		again, err := e.plaintext()
		if err != nil {
			return // a year that JSON cannot write
		}
		back, err := parseEntry("att_1", of, again)
		if len(e.Type) > maxType {
			e.Type = back.Type
		}
		if d := diff(e, back); err != nil || d != "" {
			t.Fatalf("not the same again: %v\n%s", err, d)
		}
	})
}

func TestFramesAreFoundBetweenAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []string
		gaps := 0
		for range rapid.IntRange(0, 6).Draw(t, "frames") {
			junk := rapid.SliceOfN(rapid.SampledFrom([]byte("\x00EGR1P")), 0, 60).Draw(t, "junk")
			if len(junk) > 0 {
				gaps++
			}
			b = append(b, junk...)
			id := rapid.StringMatching(`[a-z]{1,64}`).Draw(t, "id")
			b = appendFrame(b, id, grant.Version{Epoch: 1}, rapid.SliceOf(rapid.Byte()).Draw(t, "sealed"))
			want = append(want, id)
		}
		torn := rapid.Bool().Draw(t, "torn")
		if torn {
			b = append(b, magic...)
		}
		b = append(b, make([]byte, rapid.IntRange(0, 50).Draw(t, "zeros"))...)
		s := scan(b)
		var got []string
		for _, f := range s.frames {
			got = append(got, f.id)
		}
		if d := diff(want, got); d != "" || s.gaps != gaps || s.torn != torn {
			t.Fatalf("gaps %d, want %d; torn %t, want %t; frames (-want +got):\n%s", s.gaps, gaps, s.torn, torn, d)
		}
	})
}

func TestALongContentTypeIsCutAndNothingElse(t *testing.T) {
	b := newRig(t)
	s := b.open()
	e := entry(1, 10)
	e.Type = "text/html; \xff" + string(bytes.Repeat([]byte("é"), 300))
	write(t, s, e)
	must(t, s.Close())
	got := b.open().Pending()[0]
	if len(got.Type) > maxType || len(got.Type) < maxType-4 {
		t.Errorf("Type has %d bytes, want about %d", len(got.Type), maxType)
	}
	e.Type = got.Type
	if d := diff(e, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
