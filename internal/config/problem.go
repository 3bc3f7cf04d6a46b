package config

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is one mistake in a configuration.
type Problem struct {
	File string // as it was given, "" if there is none
	Path string // such as apps.k-series.client_id; "" for the file as a whole
	Line int    // 0 if the value does not come from a line of the file
	Text string // what is wrong and what to do
}

// Error returns the problem as one line.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ": ")
	}
	switch {
	case p.Path != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s (line %d): ", p.Path, p.Line)
	case p.Path != "":
		b.WriteString(p.Path + ": ")
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems are all mistakes of a configuration, in the order of its keys. It is
// never an empty non-nil error.
type Problems []Problem

// Error returns the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// At returns a Problem about the key at path, with its file and line, for a
// mistake that is found where the value is used.
func (c *Config) At(path string, err error) Problem {
	var p Problem
	if errors.As(err, &p) {
		return p
	}
	return Problem{File: c.file, Path: path, Line: c.lines[path], Text: err.Error()}
}

// add appends a problem of the key at path.
func (c *Config) add(ps *Problems, path, format string, args ...any) {
	*ps = append(*ps, c.At(path, fmt.Errorf(format, args...)))
}
