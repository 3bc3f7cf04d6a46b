package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// program is a package's test program with every change in it.
type program struct {
	folder  string // of the package
	file    string // the program
	mutants []mutant
	spared  int // lines that had to stay as they are
}

// attempts bounds how often a build is tried, each time with fewer lines changed.
const attempts = 20

// build makes the test program of the package in folder, in a folder of its own.
func build(folder, work string) (*program, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	p := &program{folder: folder, file: filepath.Join(work, "test")}
	spare := make(map[place]bool)
	for range attempts {
		r := &rewriter{spare: spare}
		overlay, err := r.overlay(sources, folder, work)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-gcflags=-e", "-overlay", overlay, "-o", p.file, ".")
		cmd.Dir = folder
		said, err := cmd.CombinedOutput()
		if err == nil {
			p.mutants, p.spared = r.mutants, len(spare)
			return p, nil
		}
		if !spareWhatFailed(spare, string(said)) {
			return nil, fmt.Errorf("its tests do not build: %w\n%s", err, said)
		}
	}
	return nil, errors.New("its tests do not build with changes in it")
}

// overlay writes the changed files and what go build needs to use them.
func (r *rewriter) overlay(sources []string, folder, work string) (string, error) {
	name := ""
	replace := make(map[string]string)
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		src, err := os.ReadFile(source)
		if err != nil {
			return "", err
		}
		changed, err := r.file(filepath.Base(source), src)
		if err != nil {
			return "", err
		}
		if m := packageClause.FindSubmatch(src); m != nil {
			name = string(m[1])
		}
		to := filepath.Join(work, filepath.Base(source))
		if err := os.WriteFile(to, []byte(changed), 0o600); err != nil {
			return "", err
		}
		replace[source] = to
	}
	if name == "" {
		return "", errors.New("no Go files")
	}
	to := filepath.Join(work, "mutant.go")
	if err := os.WriteFile(to, fmt.Appendf(nil, helper, name), 0o600); err != nil {
		return "", err
	}
	replace[filepath.Join(folder, "zz_mutant.go")] = to
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(work, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

var (
	packageClause = regexp.MustCompile(`(?m)^package (\w+)`)
	compileError  = regexp.MustCompile(`(?m)([\w.-]+\.go):(\d+):\d+: `)
)

// spareWhatFailed leaves the lines alone that the compiler complains of, and
// reports whether any of them is new.
func spareWhatFailed(spare map[place]bool, said string) bool {
	before := len(spare)
	for _, m := range compileError.FindAllStringSubmatch(said, -1) {
		line, err := strconv.Atoi(m[2])
		if err == nil {
			spare[place{m[1], line}] = true
		}
	}
	return len(spare) > before
}
