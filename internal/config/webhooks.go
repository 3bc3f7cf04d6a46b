package config

import (
	"fmt"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/webhook"
)

// validateWebhooks checks the webhooks of the file, except their secrets' values.
func (c *Config) validateWebhooks(ps *Problems, dir string) {
	names := map[string]bool{}
	for i := range c.Events.Webhooks {
		w, path := &c.Events.Webhooks[i], fmt.Sprintf("events.webhooks[%d]", i)
		if err := grant.ValidApp(w.Name); err != nil {
			c.add(ps, path+".name", "must be a short name like app: a-z, 0-9, -, _ and .")
		} else if names[w.Name] {
			c.add(ps, path+".name", "%s names another webhook already; give every webhook a name of its own", w.Name)
		}
		names[w.Name] = true
		if err := webhook.CheckURL(w.URL); err != nil {
			c.add(ps, path+".url", "%v", err)
		}
		if _, err := webhook.ParseTypes(w.Types); err != nil {
			c.add(ps, path+".types", "%v", err)
		}
		switch n := len(w.SigningSecret); {
		case n == 0:
			c.add(ps, path+".signing_secret", "is missing; refer to one, like {file: ./whsec}, made with: "+
				`echo "whsec_$(openssl rand -base64 32)" > whsec`)
		case n > 2:
			c.add(ps, path+".signing_secret", "lists %d secrets; at most two sign, the new one and the old one", n)
		}
		for j := range w.SigningSecret {
			if err := w.SigningSecret[j].check(dir); err != nil {
				c.add(ps, path+".signing_secret", "%v", err)
			}
		}
	}
}

// readWebhooks follows the references to signing secrets.
func (c *Config) readWebhooks(ps *Problems, src Source) {
	for i := range c.Events.Webhooks {
		w, path := &c.Events.Webhooks[i], fmt.Sprintf("events.webhooks[%d].signing_secret", i)
		for j := range w.SigningSecret {
			s := &w.SigningSecret[j]
			if err := s.read(src); err != nil {
				c.add(ps, path, "%v", err)
			} else if err := webhook.CheckSecret(s.value); err != nil {
				c.add(ps, path, "%s: %v", s, err)
			}
		}
		types, _ := webhook.ParseTypes(w.Types) // validateWebhooks has spoken about the error
		c.hooks = append(c.hooks, webhook.Endpoint{Name: w.Name, URL: w.URL, Types: types, Secrets: w.SigningSecret.Values()})
	}
}
