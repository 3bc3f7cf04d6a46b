package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/secret"
	"github.com/evergrant/evergrant/internal/webhook"
	"github.com/evergrant/evergrant/internal/words"
)

type listenCmd struct {
	eventFilter
	ForwardTo  string `required:"" placeholder:"URL" help:"Where each event is posted, like http://localhost:3000/hooks."`
	SecretFile string `placeholder:"FILE" help:"File with the secret to sign with, whsec_…; or set EVERGRANT_WEBHOOK_SECRET."`
}

// forwardTimeout is how long the program may take for an event.
const forwardTimeout = 15 * time.Second

// Run forwards events until it is interrupted. It works where no webhook could
// arrive, because it asks the server and not the other way round. What the
// program refuses is told and not sent again: the log has it.
func (c *listenCmd) Run(s *session) error {
	u, err := url.Parse(c.ForwardTo)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usage("--forward-to is not a URL like http://localhost:3000/hooks")
	}
	key, err := c.secret(s)
	if err != nil {
		return err
	}
	r, err := s.remote()
	if err != nil {
		return err
	}
	to := &http.Client{Timeout: forwardTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer to.CloseIdleConnections()
	greeting := "Forwarding events to " + c.ForwardTo + ", not signed; Ctrl-C ends it."
	if !key.IsZero() {
		greeting = "Forwarding events to " + c.ForwardTo + ", signed; Ctrl-C ends it."
	}
	return s.follow(r, c.filter(), greeting, func(e client.Event, raw json.RawMessage) error {
		status, err := s.forward(to, c.ForwardTo, key, e.ID, raw)
		if s.ctx.Err() != nil {
			return nil // it ended before this one was through
		}
		return s.printForwarded(e, status, err)
	})
}

// secret is what to sign with, zero for not at all.
func (c *listenCmd) secret(s *session) (secret.String, error) {
	text, _ := s.lookupEnv("EVERGRANT_WEBHOOK_SECRET")
	if c.SecretFile != "" {
		b, err := os.ReadFile(c.SecretFile)
		if err != nil {
			return secret.String{}, usage("--secret-file: %v", err)
		}
		text = string(b)
	}
	if text = strings.TrimSpace(text); text == "" {
		return secret.String{}, nil
	}
	key := secret.New(text)
	if err := webhook.CheckSecret(key); err != nil {
		return secret.String{}, usage("%v", err)
	}
	return key, nil
}

// forward posts an event with the headers of a webhook (Standard Webhooks) and
// returns the status of the answer.
func (s *session) forward(to *http.Client, address string, key secret.String, id string, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "evergrant-cli")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	if !key.IsZero() {
		signature, err := webhook.Sign([]secret.String{key}, id, now, body)
		if err != nil {
			return "", err
		}
		req.Header.Set("Webhook-Signature", signature)
	}
	res, err := to.Do(req)
	if err != nil {
		return "", withoutURL(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // so that the connection is used again
	return res.Status, nil
}

// withoutURL takes the address, which is told already, off an error of a request.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// printForwarded tells what became of an event.
func (s *session) printForwarded(e client.Event, status string, err error) error {
	failed := ""
	if err != nil {
		failed = err.Error()
	}
	if s.root.JSON {
		return s.printLine(map[string]string{"id": e.ID, "type": e.Type, "ref": e.Ref, "status": status, "error": failed})
	}
	if failed != "" {
		status = "not delivered: " + failed
	}
	_, err = fmt.Fprintf(s.stdout, "%s  %-34s %-28s %s\n", moment(e.Time), words.Printable(e.Type), words.Printable(e.Ref), words.Printable(status))
	return err
}
