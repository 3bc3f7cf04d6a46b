package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/store"
)

// dataKeys is the store's data key in memory. Beforehand runs before the next
// SetDataKey, as another process would.
type dataKeys struct {
	mu         sync.Mutex
	id         string
	wrapped    []byte
	writes     int
	beforehand func()
	err        error
}

func (d *dataKeys) DataKey(context.Context) (string, []byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return "", nil, d.err
	}
	if d.wrapped == nil {
		return "", nil, fmt.Errorf("data key: %w", store.ErrNotFound)
	}
	return d.id, d.wrapped, nil
}

func (d *dataKeys) SetDataKey(_ context.Context, previous []byte, id string, wrapped []byte) error {
	if f := d.beforehand; f != nil {
		d.beforehand = nil
		f()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !bytes.Equal(previous, d.wrapped) {
		return fmt.Errorf("data key: %w", store.ErrStale)
	}
	d.id, d.wrapped = id, wrapped
	d.writes++
	return nil
}

func master(t testing.TB, id string) seal.Master {
	t.Helper()
	m, err := seal.ParseMaster(id, seal.GenerateMaster())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, d *dataKeys, masters ...seal.Master) *seal.Ring {
	t.Helper()
	r, err := seal.Open(t.Context(), d, masters)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var slot = seal.Slot{Table: seal.Credentials, Row: "grant_1", Epoch: 1, Seq: 7}

// sameRing proves that b opens what a sealed.
func sameRing(t testing.TB, a, b *seal.Ring) {
	t.Helper()
	sealed, err := a.Seal(slot, []byte("refresh token"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Open(slot, sealed); err != nil || string(got) != "refresh token" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

func TestANewStoreGetsAKeysetThatTheNextStartOpens(t *testing.T) {
	t.Parallel()
	d, k1 := &dataKeys{}, master(t, "k1")
	sameRing(t, open(t, d, k1), open(t, d, k1))
	if d.id != "k1" || d.writes != 1 {
		t.Errorf("stored under %q with %d writes, want k1 and 1", d.id, d.writes)
	}
	if bytes.Contains(d.wrapped, []byte(k1.Key.Reveal())) {
		t.Error("the store holds the master key")
	}
}

func TestTheMasterKeyRotatesByOneWrite(t *testing.T) {
	t.Parallel()
	d, k1, k2 := &dataKeys{}, master(t, "k1"), master(t, "k2")
	first := open(t, d, k1)
	sameRing(t, first, open(t, d, k1, k2)) // step one: every process knows k2
	if d.id != "k1" || d.writes != 1 {
		t.Errorf("a further master changed the data key: %q, %d writes", d.id, d.writes)
	}
	sameRing(t, first, open(t, d, k2, k1)) // step two: k2 encrypts
	if d.id != "k2" || d.writes != 2 {
		t.Errorf("wrapped with %q after %d writes, want k2 and 2", d.id, d.writes)
	}
	sameRing(t, first, open(t, d, k2)) // step three: k1 is gone
	if d.writes != 2 {
		t.Errorf("opening without need to rotate wrote")
	}
	_, err := seal.Open(t.Context(), d, []seal.Master{k1})
	const want = `the database is sealed with master key "k2", which encryption.keys does not list; add it back`
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
}

func TestAnotherKeyUnderTheSameIDIsAClearError(t *testing.T) {
	t.Parallel()
	d := &dataKeys{}
	open(t, d, master(t, "k1"))
	other := master(t, "k1")
	_, err := seal.Open(t.Context(), d, []seal.Master{other})
	if !errors.Is(err, seal.ErrOpen) || !strings.Contains(err.Error(), `master key "k1" is not the one that sealed this database`) {
		t.Errorf("error %v", err)
	}
	if strings.Contains(err.Error(), other.Key.Reveal()) {
		t.Error("the error tells the key")
	}
}

func TestAKeysetWrappedUnderOneIDDoesNotOpenUnderAnother(t *testing.T) {
	t.Parallel()
	d, k1 := &dataKeys{}, master(t, "k1")
	open(t, d, k1)
	d.id = "k2"
	_, err := seal.Open(t.Context(), d, []seal.Master{{ID: "k2", Key: k1.Key}})
	if !errors.Is(err, seal.ErrOpen) {
		t.Errorf("error %v, want ErrOpen", err)
	}
}

func TestADamagedDataKeyIsAnError(t *testing.T) {
	t.Parallel()
	k1 := master(t, "k1")
	d := &dataKeys{}
	open(t, d, k1)
	whole := bytes.Clone(d.wrapped)
	for name, wrapped := range map[string][]byte{
		"empty": {}, "garbage": []byte("garbage"), "cut": whole[:len(whole)/2], "zeros": make([]byte, len(whole)),
	} {
		d.wrapped = wrapped
		if _, err := seal.Open(t.Context(), d, []seal.Master{k1}); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: error %v, want ErrOpen", name, err)
		}
	}
}

func TestProcessesThatStartAtOnceEndWithOneKeyset(t *testing.T) {
	t.Parallel()
	d, k1, k2 := &dataKeys{}, master(t, "k1"), master(t, "k2")
	var other *seal.Ring
	d.beforehand = func() { other = open(t, d, k1) }
	first := open(t, d, k1) // meets a store that is no longer new
	sameRing(t, other, first)

	d.beforehand = func() { other = open(t, d, k2, k1) }
	sameRing(t, other, open(t, d, k2, k1)) // meets a rotation that is done
	sameRing(t, first, other)
	if d.id != "k2" {
		t.Errorf("wrapped with %q, want k2", d.id)
	}
}

func TestManyProcessesOnANewStoreAgree(t *testing.T) {
	t.Parallel()
	d, k1 := &dataKeys{}, master(t, "k1")
	rings := make([]*seal.Ring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = seal.Open(t.Context(), d, []seal.Master{k1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, r := range rings[1:] {
		sameRing(t, rings[0], r)
	}
}

func TestAListOfMastersThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	k1 := master(t, "k1")
	for _, tt := range []struct {
		name    string
		masters []seal.Master
		want    string
	}{
		{"none", nil, "encryption.keys lists no master key; make one with `evergrant master-key generate`"},
		{"one id twice", []seal.Master{k1, master(t, "k1")}, `encryption.keys lists master key "k1" twice; ids must differ`},
		{"a bad second key", []seal.Master{k1, {ID: "k2", Key: secret.New("AAAA")}}, `master key "k2" has 3 bytes, needs 32; make one with ` + "`evergrant master-key generate`"},
		{"no id", []seal.Master{{Key: k1.Key}}, "a master key has no id"},
	} {
		d := &dataKeys{}
		_, err := seal.Open(t.Context(), d, tt.masters)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: error %v\nwant %s", tt.name, err, tt.want)
		}
		if d.writes != 0 {
			t.Errorf("%s: the store was written", tt.name)
		}
	}
}

func TestAFailingStoreIsReportedAsSuch(t *testing.T) {
	t.Parallel()
	d := &dataKeys{err: store.ErrUnavailable}
	if _, err := seal.Open(t.Context(), d, []seal.Master{master(t, "k1")}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

// staleKeys refuses every write.
type staleKeys struct{ dataKeys }

func (*staleKeys) SetDataKey(context.Context, []byte, string, []byte) error { return store.ErrStale }

func TestADataKeyThatNeverSettlesIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := seal.Open(t.Context(), &staleKeys{}, []seal.Master{master(t, "k1")}); err == nil {
		t.Error("no error")
	}
}
