package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/secret"
)

const canary = "evg_canary-7f3a9c1d"

// panicEnv makes the test binary panic with a secret.
const panicEnv = "SECRET_TEST_PANIC"

func TestMain(m *testing.M) {
	switch os.Getenv(panicEnv) {
	case "value":
		panic(secret.New(canary))
	case "struct":
		panic(newHolder())
	case "pointer":
		h := newHolder()
		panic(&h)
	case "error":
		panic(fmt.Errorf("token %v and %+v", secret.New(canary), newHolder()))
	}
	os.Exit(m.Run())
}

// holder has a secret in every place a struct can have one, also where fmt may
// call no methods.
type holder struct {
	Exported   secret.String
	unexported secret.String
	Pointer    *secret.String
	inPointer  *secret.String
	Slice      []secret.String
	inSlice    []secret.String
	Map        map[string]secret.String
	inMap      map[string]secret.String
	Any        any
	inAny      any
	nested     struct{ deep [1]secret.String }
}

func newHolder() holder {
	s := secret.New(canary)
	h := holder{
		Exported: s, unexported: s, Pointer: &s, inPointer: &s,
		Slice: []secret.String{s}, inSlice: []secret.String{s},
		Map: map[string]secret.String{"k": s}, inMap: map[string]secret.String{"k": s}, Any: s, inAny: s,
	}
	h.nested.deep[0] = s
	return h
}

// leaks reports whether text holds the canary in any form a verb gives it.
func leaks(text string) bool {
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("% x", canary), fmt.Sprintf("%d", []byte(canary))} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestNoVerbPrintsASecret(t *testing.T) {
	t.Parallel()
	s, h := secret.New(canary), newHolder()
	values := map[string]any{
		"value": s, "pointer": &s, "struct": h, "pointer to struct": &h,
		"slice": []secret.String{s}, "array": [2]secret.String{s}, "slice of any": []any{s, h},
		"map value": map[string]secret.String{"k": s}, "map key": map[secret.String]int{s: 1}, "map of structs": map[string]holder{"k": h},
	}
	flags := []string{"", "+", "#", "-", " ", "0", "+#", "12", ".3"}
	for name, v := range values {
		for verb := 'A'; verb <= 'z'; verb++ {
			for _, flag := range flags {
				format := "%" + flag + string(verb)
				if out := fmt.Sprintf(format, v); leaks(out) {
					t.Errorf("%s of a %s prints %s", format, name, out)
				}
			}
		}
		if out := fmt.Sprint(v) + fmt.Sprintln(v) + fmt.Errorf("%w", errors.New(fmt.Sprint(v))).Error(); leaks(out) {
			t.Errorf("a %s prints %s", name, out)
		}
	}
}

func TestASecretPrintsItsFingerprint(t *testing.T) {
	t.Parallel()
	s := secret.New("abc") // SHA-256 of "abc" is ba7816bf 8f01cfea …, FIPS 180-4
	const want = "secret:ba7816bf8f01"
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(format, s); got != want {
			t.Errorf("%s prints %s, want %s", format, got, want)
		}
	}
	if s.String() != want || s.GoString() != want || s.LogValue().String() != want {
		t.Errorf("String %s, GoString %s, LogValue %s; want %s", s, s.GoString(), s.LogValue(), want)
	}
	if got := s.Fingerprint(); got != "ba7816bf8f01" {
		t.Errorf("Fingerprint() = %s", got)
	}
}

func TestNoEncoderWritesASecret(t *testing.T) {
	t.Parallel()
	s, h := secret.New(canary), newHolder()
	byKey := map[secret.String]secret.String{s: s}
	for name, marshal := range map[string]func(any) ([]byte, error){
		"json": json.Marshal, "yaml": yaml.Marshal,
		"json indented": func(v any) ([]byte, error) { return json.MarshalIndent(v, "", " ") },
	} {
		for _, v := range []any{s, &s, h, &h, byKey} {
			out, err := marshal(v)
			if err != nil || leaks(string(out)) || !strings.Contains(string(out), "secret:") {
				t.Errorf("%s of %T: %v\n%s", name, v, err, out)
			}
		}
	}
}

func TestNoLoggerWritesASecret(t *testing.T) {
	t.Parallel()
	s, h := secret.New(canary), newHolder()
	var out bytes.Buffer
	for name, handler := range map[string]slog.Handler{
		"text": slog.NewTextHandler(&out, nil), "json": slog.NewJSONHandler(&out, nil),
	} {
		out.Reset()
		l := slog.New(handler).With("with", s)
		l.Info("msg", "value", s, "pointer", &s, "struct", h, "pointer to struct", &h, "slice", []secret.String{s},
			slog.Group("group", "value", s, "struct", h), "error", fmt.Errorf("token %v", s))
		if leaks(out.String()) || !strings.Contains(out.String(), "secret:"+s.Fingerprint()) {
			t.Errorf("the %s handler writes %s", name, out.String())
		}
	}
}

func TestNoPanicTellsASecret(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"value", "struct", "pointer", "error"} {
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), panicEnv+"="+what)
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("panic: ")) {
			t.Fatalf("%s: no panic: %v\n%s", what, err, out)
		}
		if leaks(string(out)) {
			t.Errorf("a panic with a secret in its %s prints\n%s", what, out)
		}
	}
}

func TestASecretIsAValue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b"}), rapid.String())
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		sa, sb := secret.New(a), secret.New(b)
		if sa.Reveal() != a {
			t.Fatalf("Reveal() = %q, want %q", sa.Reveal(), a)
		}
		if (sa == sb) != (a == b) || (sa.Fingerprint() == sb.Fingerprint()) != (a == b) {
			t.Fatalf("%q and %q: equal %t, fingerprints %q and %q", a, b, sa == sb, sa.Fingerprint(), sb.Fingerprint())
		}
		if sa.IsZero() != (a == "") || sa.IsZero() != (sa == secret.String{}) {
			t.Fatalf("IsZero() of %q = %t", a, sa.IsZero())
		}
		if m := map[secret.String]string{sa: a}; m[secret.New(a)] != a {
			t.Fatalf("%q is not found in a map", a)
		}
	})
}

func TestNoSecretSaysSo(t *testing.T) {
	t.Parallel()
	var s secret.String
	if s.String() != "secret:none" || s.Fingerprint() != "" || s.Reveal() != "" || !s.IsZero() {
		t.Errorf("the zero value is %s, fingerprint %q", s, s.Fingerprint())
	}
}
