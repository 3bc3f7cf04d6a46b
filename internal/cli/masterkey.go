package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/evergrant/evergrant/internal/seal"
)

type masterKeyCmd struct {
	Generate masterKeyGenerateCmd `cmd:"" help:"Make a master key."`
	Rotate   masterKeyRotateCmd   `cmd:"" help:"Seal the database with the first master key of the configuration."`
	Status   masterKeyStatusCmd   `cmd:"" help:"Say which master key the database is sealed with."`
}

type masterKeyGenerateCmd struct {
	Out string `short:"o" placeholder:"FILE" help:"Write it to this file, readable only by you, instead of printing it."`
}

// Run makes a master key.
func (c *masterKeyGenerateCmd) Run(s *session) error {
	key := seal.GenerateMaster()
	switch {
	case c.Out == "" && s.root.JSON:
		return s.printValue(map[string]string{"key": key.Reveal()})
	case c.Out == "":
		_, err := fmt.Fprintln(s.stdout, key.Reveal())
		return err
	}
	if err := writeNew(c.Out, key.Reveal()+"\n"); err != nil {
		return err
	}
	if s.root.JSON {
		return s.printValue(map[string]string{"file": c.Out})
	}
	s.say("Wrote %s. Keep a copy where the database's backup is not: without it no token can be read.", c.Out)
	return nil
}

// writeNew writes a file that only this user can read and that must not exist:
// a key that is overwritten is lost with everything it sealed.
func writeNew(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; move it away or choose another name", path)
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}
