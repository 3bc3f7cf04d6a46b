package seal_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secret"
)

// keyBytes encodes differently in every way base64 can.
var keyBytes = []byte("\xfb\xff\xbe0123456789abcdefghijklmnopq\xff\xfe")

func TestAKeyFileIsReadInEveryUsualForm(t *testing.T) {
	t.Parallel()
	if len(keyBytes) != 32 {
		t.Fatal("the test's key has the wrong size")
	}
	std, url := base64.StdEncoding.EncodeToString(keyBytes), base64.URLEncoding.EncodeToString(keyBytes)
	for name, content := range map[string]string{
		"standard alphabet, padded":    std,
		"standard alphabet, not":       strings.TrimRight(std, "="),
		"URL alphabet, padded":         url,
		"URL alphabet, not padded":     strings.TrimRight(url, "="),
		"one trailing newline":         std + "\n",
		"a trailing Windows newline":   std + "\r\n",
		"what master-key generate has": seal.GenerateMaster().Reveal(),
	} {
		m, err := seal.ParseMaster("k1", secret.New(content))
		if err != nil || m.ID != "k1" {
			t.Errorf("%s: ParseMaster = %v, %v", name, m, err)
		}
	}
}

func TestABadKeyFileIsRefusedWithTheNextStep(t *testing.T) {
	t.Parallel()
	const generate = "; make one with `evergrant master-key generate`"
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(keyBytes[:n]) }
	for _, tt := range []struct{ name, content, want string }{
		{"nothing", "", `master key "k1" is empty` + generate},
		{"only a newline", "\n", `master key "k1" is empty` + generate},
		{"too short", b64(12), `master key "k1" has 12 bytes, needs 32` + generate},
		{"one byte short", b64(31), `master key "k1" has 31 bytes, needs 32` + generate},
		{"hexadecimal", strings.Repeat("0a", 32), `master key "k1" has 48 bytes, needs 32` + generate},
		{"raw bytes", string(keyBytes), `master key "k1" is not base64` + generate},
		{"a passphrase", "correct horse battery staple", `master key "k1" is not base64` + generate},
		{"mixed alphabets", "-_+/" + b64(32)[4:], `master key "k1" is not base64` + generate},
		{"too much padding", b64(30) + "====", `master key "k1" is not base64` + generate},
		{"two newlines", b64(32) + "\n\n", `master key "k1" has more than one line; keep one key in each file`},
		{"two keys", b64(32) + "\n" + b64(32), `master key "k1" has more than one line; keep one key in each file`},
		{"a newline inside", b64(32)[:8] + "\n" + b64(32)[8:], `master key "k1" has more than one line; keep one key in each file`},
	} {
		_, err := seal.ParseMaster("k1", secret.New(tt.content))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: error %v\nwant %s", tt.name, err, tt.want)
		}
	}
	if _, err := seal.ParseMaster("", seal.GenerateMaster()); err == nil {
		t.Error("a key without an id is accepted")
	}
}

func TestGeneratedKeysAreOneLineAndDiffer(t *testing.T) {
	t.Parallel()
	a, b := seal.GenerateMaster(), seal.GenerateMaster()
	if a == b {
		t.Error("two generated keys are equal")
	}
	if v := a.Reveal(); len(v) != 44 || strings.ContainsAny(v, "\r\n") {
		t.Error("a generated key is not one line of 44 characters")
	}
}

// FuzzParseMaster: what is accepted is 32 bytes in base64, and no error quotes
// the content.
func FuzzParseMaster(f *testing.F) {
	std := base64.StdEncoding.EncodeToString(keyBytes)
	for _, s := range []string{"", "\n", std, std + "\n", strings.TrimRight(std, "="), base64.URLEncoding.EncodeToString(keyBytes), "====", std + std, string(keyBytes)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, content string) {
		_, err := seal.ParseMaster("k1", secret.New(content))
		if err != nil {
			if len(content) > 12 && strings.Contains(err.Error(), content) {
				t.Fatalf("the error quotes the content: %v", err)
			}
			return
		}
		line := strings.TrimSuffix(strings.TrimSuffix(content, "\n"), "\r")
		line = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(line), "=")
		if key, err := base64.RawStdEncoding.DecodeString(line); err != nil || len(key) != 32 {
			t.Fatalf("%q is accepted as %d bytes: %v", content, len(key), err)
		}
	})
}
