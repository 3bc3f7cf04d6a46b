package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var hunk = regexp.MustCompile(`^@@ -\S+ \+(\d+)(?:,(\d+))? @@`)

// changedLines returns the lines of a folder's files that are not as they were in
// a commit; none if none is named.
func changedLines(folder, since string) (map[place]bool, error) {
	if since == "" {
		return nil, nil
	}
	cmd := exec.Command("git", "diff", "--no-color", "--no-ext-diff", "--unified=0", since, "--", ".")
	cmd.Dir = folder
	diff, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git diff %s: %w", since, err)
	}
	return linesOf(string(diff)), nil
}

// linesOf reads which lines a diff without context adds.
func linesOf(diff string) map[place]bool {
	lines := make(map[place]bool)
	file := ""
	for line := range strings.Lines(diff) {
		if name, ok := strings.CutPrefix(line, "+++ "); ok {
			file = filepath.Base(strings.TrimSpace(name))
			continue
		}
		m := hunk.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		first, _ := strconv.Atoi(m[1])
		n := 1
		if m[2] != "" {
			n, _ = strconv.Atoi(m[2])
		}
		for i := range n {
			lines[place{file, first + i}] = true
		}
	}
	return lines
}
