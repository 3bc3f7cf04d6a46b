package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxContent bounds what a file may hold.
const maxContent = 1 << 20

// render returns what the file is to hold.
func (s Sink) render(c content) ([]byte, error) {
	var b bytes.Buffer
	if err := s.Template.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if b.Len() > maxContent {
		return nil, errors.New("template: makes more than 1 MiB")
	}
	return b.Bytes(), nil
}

// holds reports whether the file is already as it should be.
func (s Sink) holds(want []byte) bool {
	f, err := os.Open(s.Path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Mode() != s.Mode {
		return false
	}
	have, err := io.ReadAll(io.LimitReader(f, maxContent+1))
	return err == nil && bytes.Equal(have, want)
}

// replace writes the file anew and puts it in the place of the old one, whose
// readers are not disturbed.
func (s Sink) replace(b []byte) (err error) {
	next := s.Path + ".new"
	// One that was left behind by a process that was killed is of no use.
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(next))
		}
	}()
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(s.Mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(next, s.Path)
}
