package connect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/provider"
)

// announceFor bounds how long the sandbox has to listen.
const announceFor = 5 * time.Second

// announce tells the sandbox where merchants are to be sent back to, for an app
// whose provider asks that once, when the app is registered, and not on every
// trip. Real providers ask a person. The sandbox is told every time, because it
// forgets; without an answer the trip goes on, and its login page asks.
func (s *Service) announce(ctx context.Context, app *provider.App) {
	if app.SandboxURL == "" || !app.Recipe.RedirectRegistered {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceFor)
	defer cancel()
	if err := register(ctx, app); err != nil {
		s.c.Logger.WarnContext(ctx, "the sandbox does not know where to send merchants back to", "app", app.Name, "err", err)
	}
}

func register(ctx context.Context, app *provider.App) error {
	body, err := json.Marshal(map[string]any{
		"client_id": app.ClientID, "series": app.Recipe.Name, "redirect_uris": []string{app.RedirectURI},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, app.SandboxURL+"/_sandbox/clients", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %s", resp.Status)
	}
	return nil
}
