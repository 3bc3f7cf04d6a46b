package dashboard

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/telemetry"
	"github.com/evergrant/evergrant/internal/words"
)

// providers is how each app fares at its provider.
type providers struct {
	Since time.Time // when counting began; zero if nobody counts
	Apps  []providerApp
}

// providerApp is one app.
type providerApp struct {
	client.App
	appLine
	Pause   string // why nothing is renewed, "" if it is
	Spans   []spanLine
	Why     []reasonLine
	Answers []telemetry.Seen
}

// spanLine is how renewals went within a span.
type spanLine struct {
	Name             string
	Tried, Succeeded int
	Share            string // of those that were tried
	P50, P95         string
}

// reasonLine is how often a reason kept renewals from succeeding.
type reasonLine struct {
	Reason, Means string
	Counts        [3]int // by span
}

// mostAnswers bounds the provider's answers that are shown.
const mostAnswers = 10

func (d *Dashboard) providers(v *visit) answer {
	ctx := v.Context()
	apps, err := d.c.API.Apps(ctx)
	if err != nil {
		return failed(err)
	}
	counts, err := d.counts.read(ctx, d.c.Store, d.c.Now)
	if err != nil {
		return failed(err)
	}
	var page providers
	for _, a := range apps {
		p := providerApp{App: a, appLine: d.appLine(a, counts), Pause: pauseSentence(a)}
		if d.c.Trends != nil {
			page.Since = d.c.Trends.Since()
			p.trends(d.c.Trends)
		}
		page.Apps = append(page.Apps, p)
	}
	return show("providers", "Providers", page)
}

// pauseSentence says why an app is paused.
func pauseSentence(a client.App) string {
	switch grant.PauseCause(a.PausedBecause) {
	case grant.PausedByOperator:
		return "Somebody paused it."
	case grant.PausedByRefusals:
		return "So many approvals were refused at once that the fault is hardly theirs. One success ends the pause by itself."
	case grant.PausedByRestore:
		return "The database was restored, and refresh tokens in it may be spent. Resume only once you know that they are not."
	}
	return ""
}

// trends adds how renewals went.
func (p *providerApp) trends(t *telemetry.Trends) {
	why := map[string][3]int{}
	for i, tr := range t.Of(p.App.Name) {
		tried := tr.OK + tr.Failed
		l := spanLine{Name: []string{"1 hour", "24 hours", "30 days"}[i], Tried: tried, Succeeded: tr.OK, Share: "–", P50: "–", P95: "–"}
		if tried > 0 {
			l.Share, l.P50, l.P95 = share(tr.OK, tried), latency(tr.P50), latency(tr.P95)
		}
		p.Spans = append(p.Spans, l)
		for _, r := range tr.Reasons {
			counts := why[r.Reason]
			counts[i] = r.Count
			why[r.Reason] = counts
		}
	}
	for reason, counts := range why {
		l := reasonLine{reason, "Put off without proof of anything; it is tried again.", counts}
		if e, ok := words.Of(reason); ok && reason != string(grant.OK) {
			l.Means = e.Means
		}
		if reason == string(grant.OK) {
			l.Reason = "put off"
		}
		p.Why = append(p.Why, l)
	}
	slices.SortFunc(p.Why, func(x, y reasonLine) int {
		if x.Counts != y.Counts {
			return slices.Compare(y.Counts[:], x.Counts[:])
		}
		return strings.Compare(x.Reason, y.Reason)
	})
	p.Answers = t.Answers(p.App.Name)
	p.Answers = p.Answers[:min(len(p.Answers), mostAnswers)]
}

// share writes a part of a whole so that only all of it is 100 %.
func share(part, whole int) string {
	switch p := 100 * float64(part) / float64(whole); {
	case part == whole:
		return "100\u00a0%"
	case p > 99.9:
		return fmt.Sprintf("%.2f\u00a0%%", min(p, 99.99))
	default:
		return fmt.Sprintf("%.1f\u00a0%%", p)
	}
}

// latency writes how long something took, no more precisely than it is known.
func latency(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d/time.Millisecond)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// askPause is the page between the button and the deed.
func (d *Dashboard) askPause(v *visit) answer {
	a, err := d.c.API.App(v.Context(), v.PathValue("app"))
	if err != nil {
		return failed(err)
	}
	c := confirm{
		Lead:   []string{"Nothing of " + a.Name + " is renewed until it is resumed, also after a restart. Tokens are served as long as they last, and approvals end on their deadlines."},
		Action: providerPath(a.Name) + "/pause", Button: "Pause " + a.Name, Danger: true, Back: "/providers", Leave: "Leave it running",
	}
	if a.Paused {
		c = confirm{
			Lead:   []string{pauseSentence(a), "Resuming renews at once what is due."},
			Action: providerPath(a.Name) + "/resume", Button: "Resume " + a.Name, Danger: a.PausedBecause == string(grant.PausedByRestore),
			Back: "/providers", Leave: "Leave it paused",
		}
	}
	return show("confirm", c.Button+"?", c)
}

// pause stops the renewals of an app.
func (d *Dashboard) pause(v *visit) answer {
	a, err := d.c.API.PauseApp(v.Context(), v.PathValue("app"))
	if err != nil {
		return failed(err)
	}
	d.did(v, "paused an app", slog.String("app", a.Name))
	return goTo("/providers")
}

// resume ends the pause of an app.
func (d *Dashboard) resume(v *visit) answer {
	a, err := d.c.API.ResumeApp(v.Context(), v.PathValue("app"))
	if err != nil {
		return failed(err)
	}
	d.did(v, "resumed an app", slog.String("app", a.Name))
	return goTo("/providers")
}
