package dashboard

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/words"
)

// webhooks is who is told of events, and whether they hear.
type webhooks struct {
	Hooks []hookLine
	More  int // that are not shown
	Done  string
}

// hookLine is a webhook with its last deliveries.
type hookLine struct {
	client.Webhook
	Address    string // without what may be a secret in it
	Mark, Text string
	Deliveries []deliveryLine
}

// deliveryLine is an attempt to deliver.
type deliveryLine struct {
	client.Delivery
	Text string
}

const (
	mostHooks      = 50 // a page asks for the deliveries of each
	mostDeliveries = 10
)

func (d *Dashboard) webhooks(v *visit) answer {
	ctx := v.Context()
	list, err := d.c.API.Webhooks(ctx)
	if err != nil {
		return failed(err)
	}
	page := webhooks{Done: done[v.URL.Query().Get("done")]}
	page.More = max(len(list)-mostHooks, 0)
	for _, w := range list[:len(list)-page.More] {
		h := hookLine{Webhook: w, Address: address(w.URL)}
		h.Mark, h.Text = d.hearing(w)
		last, err := d.c.API.Deliveries(ctx, w.ID, mostDeliveries, "")
		if err != nil {
			return failed(err)
		}
		for _, dl := range last.Data {
			h.Deliveries = append(h.Deliveries, deliveryLine{dl, deliveryText(dl)})
		}
		page.Hooks = append(page.Hooks, h)
	}
	return show("webhooks", "Webhooks", page)
}

// address is where a webhook goes, without the parts in which people put
// secrets.
func address(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "–"
	}
	if u.User, u.Fragment = nil, ""; u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return u.String()
}

// hearing says whether a webhook hears.
func (d *Dashboard) hearing(w client.Webhook) (mark, text string) {
	switch w.State {
	case "disabled":
		because := map[string]string{"gone": "its receiver answered that it is gone for good", "failing": "nothing was delivered for too long",
			"operator": "somebody disabled it"}[w.DisabledBecause]
		return "needs_reauthorization", "Disabled: " + because + ". Nothing is delivered until it is enabled."
	case "failing":
		text = "Failing: " + words.Counted(w.Failures, "delivery", "deliveries") + " in a row did not arrive"
		if !w.FailingSince.IsZero() {
			text += ", for " + words.Span(d.c.Now().Sub(w.FailingSince))
		}
		return "degraded", text + ". It is tried again by itself, and nothing is lost meanwhile."
	}
	return "connected", "Hears of everything that it asked for."
}

// deliveryText says what came of a delivery.
func deliveryText(dl client.Delivery) string {
	switch {
	case dl.Delivered:
		return "delivered"
	case dl.Error != "":
		return dl.Error
	}
	return "not accepted"
}

// testWebhook sends an event that is none.
func (d *Dashboard) testWebhook(v *visit) answer {
	dl, err := d.c.API.TestWebhook(v.Context(), v.PathValue("id"))
	if err != nil {
		return failed(err)
	}
	d.did(v, "tested a webhook", slog.String("webhook", dl.Webhook))
	title, text := "It was received", []string{fmt.Sprintf("The receiver answered %d within %s ms.", dl.Status, strings.TrimSuffix(fmt.Sprintf("%.1f", dl.DurationMS), ".0"))}
	if !dl.Delivered {
		title, text = "It was not received", []string{upper(deliveryText(dl)) + "."}
	}
	return answer{view: "message", title: title, data: note{Text: text, Link: "/events/webhooks", Label: "Webhooks"}}
}

// enableWebhook has deliveries go on.
func (d *Dashboard) enableWebhook(v *visit) answer {
	yes := true
	w, err := d.c.API.ChangeWebhook(v.Context(), v.PathValue("id"), client.WebhookChange{Enabled: &yes})
	if err != nil {
		return failed(err)
	}
	d.did(v, "enabled a webhook", slog.String("webhook", w.ID))
	return goTo("/events/webhooks?done=enabled")
}
