package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
)

// maxAnswer bounds what is read of an answer, so that its connection can be used
// again. Nothing of it is kept.
const maxAnswer = 64 << 10

// send sends an event once. It returns how long the receiver asks to wait.
func (s *Service) send(ctx context.Context, w store.Webhook, e grant.Event) (d store.WebhookDelivery, asked time.Duration) {
	at := s.c.Now()
	d = store.WebhookDelivery{EventID: e.ID, Type: e.Type, At: at}
	res, err := s.post(ctx, w, e, at)
	d.Took = max(s.c.Now().Sub(at), 0)
	switch {
	case err != nil:
		d.Error = err.Error()
	case res.StatusCode < 200 || res.StatusCode > 299:
		d.Status = res.StatusCode
		d.Error = fmt.Sprintf("it answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))
		if res.StatusCode >= 300 && res.StatusCode <= 399 {
			d.Error += "; redirects are not followed, name the address it leads to"
		}
		asked = retryAfter(res.Header, at)
	default:
		d.Status = res.StatusCode
	}
	return d, asked
}

// post makes the request. The answer's body is read and closed.
func (s *Service) post(ctx context.Context, w store.Webhook, e grant.Event, at time.Time) (*http.Response, error) {
	secrets, err := s.secrets(w, at)
	if err != nil {
		return nil, err
	}
	body := s.c.Encode(e)
	signature, err := Sign(secrets, e.ID, at, body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("its URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", e.ID)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	res, err := s.c.Client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the URL, which may hold a secret
		}
		return nil, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // the status has said it all
	return res, nil
}
