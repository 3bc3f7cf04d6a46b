package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/manager"
)

const (
	// contentLines is a JSON value a line.
	contentLines = "application/x-ndjson"
	// importAtOnce is how many lines are taken up together; the new ones among them
	// are one transaction. importBytes bounds the memory they need.
	importAtOnce = 256
	importBytes  = 4 << 20
	// importPause is how long a line waits for others to be taken up with it.
	importPause = 50 * time.Millisecond
	// importPatience is how long the client may take to send the next line, and to
	// read the answers.
	importPatience = 5 * time.Minute
)

// imported is what became of one line.
type imported struct {
	Line   int    `json:"line" doc:"counted from 1"`
	Ref    string `json:"ref"`
	Status string `json:"status" enum:"created,updated,failed"`
	Error  string `json:"error,omitempty"`
}

// importLine is one line as it was read: what is asked for, or why that is not
// known.
type importLine struct {
	number int
	size   int // bytes
	ref    string
	asked  manager.NewConnection
	err    error
	end    string // if not "", why no more lines were read, this one included
}

// importConnections makes a connection of every line and answers each, in order,
// while more are read. A line that fails is told and harms no other; a request
// that is cut off is made again from where the answers end, or from the start:
// tokens that were adopted already are not adopted again.
func (s *server) importConnections(c *call) {
	control := http.NewResponseController(c.w)
	_ = control.EnableFullDuplex() // HTTP/2 is so anyway
	c.w.Header().Set("Content-Type", contentLines)
	ctx, stop := context.WithCancel(c.r.Context())
	lines, groups := make(chan importLine), make(chan []importLine)
	var ahead sync.WaitGroup // what reads while others are imported
	ahead.Go(func() { s.readLines(ctx, c, control, lines) })
	ahead.Go(func() { gatherLines(ctx, lines, groups) })
	answers := bufio.NewWriter(c.w)
	for group := range groups {
		_ = control.SetWriteDeadline(s.now().Add(importPatience))
		s.importGroup(c, group, answers)
		if answers.Flush() != nil || control.Flush() != nil || c.r.Context().Err() != nil {
			stop() // nobody listens any more
			_ = control.SetReadDeadline(time.Unix(1, 0))
			break
		}
	}
	stop()
	ahead.Wait()
}

// readLines reads lines until there are no more, closes the channel and leaves
// out empty ones.
func (s *server) readLines(ctx context.Context, c *call, control *http.ResponseController, lines chan<- importLine) {
	defer close(lines)
	send := func(l importLine) bool {
		select {
		case lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	scanner := bufio.NewScanner(c.r.Body)
	scanner.Buffer(nil, maxBody)
	for number := 1; ; number++ {
		_ = control.SetReadDeadline(s.now().Add(importPatience))
		if ctx.Err() != nil { // looked at last, because its end comes before the end of the deadline
			return
		}
		if !scanner.Scan() {
			if err := scanner.Err(); err != nil {
				send(importLine{number: number, end: unreadable(err)})
			}
			return
		}
		text := bytes.TrimSpace(scanner.Bytes())
		if len(text) == 0 { // nothing is told of it
			continue
		}
		if !send(s.readLine(c, number, text)) {
			return
		}
	}
}

// unreadable says why no more lines were read.
func unreadable(err error) string {
	if errors.Is(err, bufio.ErrTooLong) {
		return "a line may have at most 1 MiB; this one and those after it were not read"
	}
	return "the request could not be read to its end; send this line and those after it again"
}

// readLine makes out what a line asks for. A bug of ours that it sets off is its
// failure.
func (s *server) readLine(c *call, number int, text []byte) (l importLine) {
	l = importLine{number: number, size: len(text)}
	defer func() {
		if v := recover(); v != nil {
			l.err = fmt.Errorf("panic: %v", v)
		}
	}()
	var asked newConnection
	if l.err = decode(text, &asked, false); l.err != nil {
		return l
	}
	l.ref = asked.Ref
	l.asked, l.err = s.asked(c, asked)
	return l
}

// gatherLines makes groups of the lines that arrive together, and closes their
// channel after the last.
func gatherLines(ctx context.Context, lines <-chan importLine, groups chan<- []importLine) {
	defer close(groups)
	for first := range lines {
		group, size := []importLine{first}, first.size
		pause := time.NewTimer(importPause)
		for waiting := true; waiting && len(group) < importAtOnce && size < importBytes; {
			select {
			case l, more := <-lines:
				if waiting = more; more {
					group, size = append(group, l), size+l.size
				}
			case <-pause.C:
				waiting = false
			}
		}
		pause.Stop()
		select {
		case groups <- group:
		case <-ctx.Done():
			return
		}
	}
}

// importGroup imports lines together and writes the answers in their order.
func (s *server) importGroup(c *call, group []importLine, answers *bufio.Writer) {
	var list []manager.NewConnection
	for _, l := range group {
		if l.end == "" && l.err == nil {
			list = append(list, l.asked)
		}
	}
	results := s.c.Manager.Import(c.r.Context(), list)
	encoder := json.NewEncoder(answers)
	for _, l := range group {
		var result manager.Imported
		if l.end == "" && l.err == nil {
			result, results = results[0], results[1:]
			l.err = result.Err
		}
		out := imported{Line: l.number, Ref: l.ref, Status: "updated"}
		switch {
		case l.end != "":
			out.Status, out.Error = "failed", l.end
		case l.err != nil:
			out.Status, out.Error = "failed", s.importError(c, l)
		case result.Created:
			out.Status = "created"
		}
		_ = encoder.Encode(out)
	}
}

// importError words a line's error as the answer to a request of its own would be.
func (s *server) importError(c *call, l importLine) string {
	p, known := toProblem(l.err)
	if !known {
		s.log.LogAttrs(c.r.Context(), slog.LevelError, "api: a line could not be imported", slog.Int("line", l.number), attrRequest(c.id), attrError(l.err))
	}
	return p.text()
}
