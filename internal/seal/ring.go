package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrOpen means that a ciphertext does not open in this slot: it belongs to
// another slot or another ring, or it is damaged. Which of them cannot be told.
var ErrOpen = errors.New("sealed bytes do not open")

// Ring seals and opens. It is safe for concurrent use and never changes.
type Ring struct{ data tink.AEAD }

// Ephemeral returns a ring with a fresh keyset that lives in memory only. What
// it seals is gone with the process; it is for tests and throwaway stores.
func Ephemeral() (*Ring, error) {
	h, err := newKeyset()
	if err != nil {
		return nil, err
	}
	return newRing(h)
}

// newKeyset makes a data keyset of one key.
func newKeyset() (*keyset.Handle, error) {
	h, err := keyset.NewHandle(aead.XAES256GCM192BitNonceKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a data keyset: %w", err)
	}
	return h, nil
}

// newRing builds the primitive once: doing so for every message costs more than
// the message.
func newRing(h *keyset.Handle) (*Ring, error) {
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("use the data keyset: %w", err)
	}
	return &Ring{data: a}, nil
}

// Overhead is by how much a ciphertext may be longer than its plaintext, in
// bytes: Tink's prefix, the salt, the nonce and the tag, rounded up.
const Overhead = 64

// Seal encrypts plaintext, which may be empty, for the slot.
func (r *Ring) Seal(s Slot, plaintext []byte) ([]byte, error) {
	ct, err := r.data.Encrypt(plaintext, s.associated())
	if err != nil {
		return nil, fmt.Errorf("seal %s %s: %w", s.Table, s.Row, err)
	}
	return ct, nil
}

// Open decrypts what Seal made for the same slot. Any other bytes are [ErrOpen].
// The error names the table and the row only.
func (r *Ring) Open(s Slot, ciphertext []byte) ([]byte, error) {
	pt, err := r.data.Decrypt(ciphertext, s.associated())
	if err != nil {
		return nil, fmt.Errorf("open %s %s: %w", s.Table, s.Row, ErrOpen)
	}
	return pt, nil
}

// slotVersion begins the associated data. Another encoding needs another one.
const slotVersion = 1

// associated encodes the slot so that no two slots share an encoding: texts
// carry their length before them, numbers are of fixed size.
func (s Slot) associated() []byte {
	b := make([]byte, 0, 1+2*binary.MaxVarintLen64+len(s.Table)+len(s.Row)+16)
	b = append(b, slotVersion)
	b = binary.AppendUvarint(b, uint64(len(s.Table)))
	b = append(b, s.Table...)
	b = binary.AppendUvarint(b, uint64(len(s.Row)))
	b = append(b, s.Row...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Epoch))
	return binary.BigEndian.AppendUint64(b, uint64(s.Seq))
}

// wrap encrypts a data keyset with a master key.
func wrap(h *keyset.Handle, m Master) ([]byte, error) {
	a, ad, err := m.aead()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := h.WriteWithAssociatedData(keyset.NewBinaryWriter(&b), a, ad); err != nil {
		return nil, fmt.Errorf("wrap the data keyset with master key %q: %w", m.ID, err)
	}
	return b.Bytes(), nil
}

// unwrap opens what wrap made with the same master key under the same id.
func unwrap(wrapped []byte, m Master) (*keyset.Handle, error) {
	a, ad, err := m.aead()
	if err != nil {
		return nil, err
	}
	h, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(wrapped)), a, ad)
	if err != nil {
		return nil, fmt.Errorf("master key %q is not the one that sealed this database, although it has its id; "+
			"put the original key back, or restore the database if its data key is damaged: %w", m.ID, ErrOpen)
	}
	return h, nil
}
