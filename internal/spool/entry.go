package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
)

// Kind says what a spooled response answers.
type Kind string

// The kinds.
const (
	Refresh  Kind = "refresh"
	Exchange Kind = "exchange" // of an authorization code
)

// Entry is one received response with what is needed to commit it later.
type Entry struct {
	Kind      Kind
	AttemptID string        // of a refresh; of an exchange, the authorization's id
	GrantID   string        // "" for an exchange
	App       string        // name of the app
	Of        grant.Version // the version that was spent
	SentAt    time.Time
	Status    int
	Type      string // Content-Type; kept up to 256 bytes
	Cut       bool   // the body did not end by itself
	Body      []byte // raw; secret
}

// Bounds of an entry. Ids and names are ours and much shorter.
const (
	// MaxBody is the longest body an entry can have, in bytes.
	MaxBody = 1 << 20
	maxID   = 64  // AttemptID, GrantID, App and Kind, in bytes
	maxType = 256 // Type, which is the provider's
)

// check reports why e cannot be written. It is the caller's mistake.
func (e Entry) check() error {
	switch {
	case e.AttemptID == "":
		return errors.New("spool entry has no attempt id")
	case len(e.AttemptID) > maxID, len(e.GrantID) > maxID, len(e.App) > maxID, len(e.Kind) > maxID:
		return fmt.Errorf("spool entry has an id or name of more than %d bytes", maxID)
	case len(e.Body) > MaxBody:
		return fmt.Errorf("spool entry has a body of %d bytes; at most %d are kept", len(e.Body), MaxBody)
	}
	return nil
}

// entryHead is the part of the plaintext before the body. Attempt and version
// are in the frame, and bound to the plaintext by its seal.
type entryHead struct {
	Kind   Kind      `json:"k"`
	Grant  string    `json:"g,omitempty"`
	App    string    `json:"a"`
	SentAt time.Time `json:"s"`
	Status int       `json:"c"`
	Type   string    `json:"t,omitempty"`
	Cut    bool      `json:"x,omitempty"`
}

// plaintext encodes the entry for sealing: the length of the head, the head in
// JSON, and the body as it came.
func (e Entry) plaintext() ([]byte, error) {
	ct := strings.ToValidUTF8(e.Type, "")
	if len(ct) > maxType {
		ct = strings.ToValidUTF8(ct[:maxType], "") // a cut may split a character
	}
	head, err := json.Marshal(entryHead{e.Kind, e.GrantID, e.App, e.SentAt.UTC(), e.Status, ct, e.Cut})
	if err != nil {
		return nil, fmt.Errorf("encode spool entry: %w", err)
	}
	b := make([]byte, 0, binary.MaxVarintLen64+len(head)+len(e.Body))
	b = binary.AppendUvarint(b, uint64(len(head)))
	b = append(b, head...)
	return append(b, e.Body...), nil
}

// errBadEntry does not wrap the decoder's error, whose text could quote a body.
var errBadEntry = errors.New("the opened bytes are not a spool entry")

// parseEntry reads what plaintext wrote; id and of come from the frame. The body
// aliases b.
func parseEntry(id string, of grant.Version, b []byte) (Entry, error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return Entry{}, errBadEntry
	}
	var h entryHead
	if err := json.Unmarshal(b[w:w+int(n)], &h); err != nil {
		return Entry{}, errBadEntry
	}
	return Entry{h.Kind, id, h.Grant, h.App, of, h.SentAt, h.Status, h.Type, h.Cut, b[w+int(n):]}, nil
}
