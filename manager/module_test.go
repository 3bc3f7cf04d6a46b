package manager_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestAnotherModuleEmbedsTheEngine builds and runs a program outside of this
// module: no internal type is needed for it.
func TestAnotherModuleEmbedsTheEngine(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, from := range map[string]string{"main.go": "testdata/embed/main.go", "go.sum": "../go.sum"} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mod := "module embed.example\n\ngo 1.26\n\nrequire github.com/evergrant/evergrant v0.0.0\n\nreplace github.com/evergrant/evergrant => " + root + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(mod), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".")
	cmd.Dir = dir
	// All modules are here already: this one has been built.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if want := "biz_42@k-series connected\n200 OK\n"; err != nil || string(out) != want {
		t.Errorf("it says %q, %v; want %q", out, err, want)
	}
}
