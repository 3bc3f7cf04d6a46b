package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	// contentLines is a JSON value a line.
	contentLines = "application/x-ndjson"
	// importAtOnce is how many lines are taken up together. The store makes their
	// changes durable together too.
	importAtOnce = 256
	// importPatience is how long the client may take to send as many lines, and to
	// read the answers.
	importPatience = 5 * time.Minute
)

// imported is what became of one line.
type imported struct {
	Line   int    `json:"line" doc:"counted from 1"`
	Ref    string `json:"ref"`
	Status string `json:"status" doc:"created, updated or failed"`
	Error  string `json:"error,omitempty"`
}

// importConnections makes a connection of every line and answers each, in order,
// while more are read. A line that fails is told and harms no other; a request
// that is cut off is made again from where the answers end, or from the start:
// tokens that were adopted already are not adopted again.
func (s *server) importConnections(c *call) {
	control := http.NewResponseController(c.w)
	_ = control.EnableFullDuplex() // HTTP/2 is so anyway
	lines := bufio.NewScanner(c.r.Body)
	lines.Buffer(nil, maxBody)
	answers := bufio.NewWriter(c.w)
	c.w.Header().Set("Content-Type", contentLines)
	for line, more := 0, true; more && c.r.Context().Err() == nil; {
		deadline := s.now().Add(importPatience)
		_, _ = control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline)
		var group [][]byte
		for len(group) < importAtOnce {
			if more = lines.Scan(); !more {
				break
			}
			group = append(group, bytes.Clone(bytes.TrimSpace(lines.Bytes())))
		}
		s.importGroup(c, line, group, answers)
		line += len(group)
		if !more && lines.Err() != nil {
			_ = json.NewEncoder(answers).Encode(imported{Line: line + 1, Status: "failed", Error: unreadable(lines.Err())})
		}
		if answers.Flush() != nil || control.Flush() != nil {
			return // nobody listens any more
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

// importGroup imports lines together and writes the answers in their order. Two
// lines of one connection are taken one after the other.
func (s *server) importGroup(c *call, before int, group [][]byte, answers *bufio.Writer) {
	out := make([]imported, len(group))
	asked := make([]newConnection, len(group))
	byRef := make(map[string][]int)
	for i, text := range group {
		out[i].Line = before + i + 1
		if len(text) == 0 {
			continue
		}
		if err := decode(text, &asked[i], false); err != nil {
			s.importFailed(c, &out[i], err)
			continue
		}
		out[i].Ref = asked[i].Ref
		byRef[asked[i].Ref] = append(byRef[asked[i].Ref], i)
	}
	var work sync.WaitGroup
	for _, lines := range byRef {
		work.Go(func() {
			for _, i := range lines {
				s.importOne(c, asked[i], &out[i])
			}
		})
	}
	work.Wait()
	encoder := json.NewEncoder(answers)
	for _, o := range out {
		if o.Status != "" { // of an empty line nothing is told
			_ = encoder.Encode(o)
		}
	}
}

// importOne imports one line. A bug of ours that one line sets off is that line's
// failure.
func (s *server) importOne(c *call, b newConnection, out *imported) {
	defer func() {
		if v := recover(); v != nil {
			s.importFailed(c, out, fmt.Errorf("panic: %v", v))
		}
	}()
	n, err := s.asked(c, b)
	if err != nil {
		s.importFailed(c, out, err)
		return
	}
	created, err := s.c.Manager.Import(c.r.Context(), n)
	switch {
	case err != nil:
		s.importFailed(c, out, err)
	case created:
		out.Status = "created"
	default:
		out.Status = "updated"
	}
}

// importFailed words an error as the answer to a request of its own would be.
func (s *server) importFailed(c *call, out *imported, err error) {
	p, known := toProblem(err)
	if !known {
		s.log.LogAttrs(c.r.Context(), slog.LevelError, "api: a line could not be imported", slog.Int("line", out.Line), attrRequest(c.id), attrError(err))
	}
	out.Status, out.Error = "failed", p.text()
}
