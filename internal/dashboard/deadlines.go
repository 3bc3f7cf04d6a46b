package dashboard

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evergrant/evergrant/client"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/words"
)

// deadlines is when approvals end if nobody renews them.
type deadlines struct {
	Runway, RunwayOf string // as on the first page
	Days             int    // of the outage that is imagined
	Most             int    // of days that can be
	Sentence         string
	Charts           []histogram
}

// histogram counts an app's live grants by the days left to their deadlines.
type histogram struct {
	App         string
	Bars        []column
	Total, Lost int
	Highest     string
	Shade       int // how far the outage reaches, in the chart's units
	Width       int
}

// column is a day of a histogram.
type column struct {
	Label      string // of its row in the table
	Count      int
	X, Y, W, H int
	Lost       bool // within the outage
}

const (
	mostOutage  = 14 // days
	chartDays   = 31 // each with a column of its own, then one for all that is later
	columnWidth = 10
	chartHeight = 60
)

func (d *Dashboard) deadlines(v *visit) answer {
	ctx := v.Context()
	apps, err := d.c.API.Apps(ctx)
	if err != nil {
		return failed(err)
	}
	days, err := outage(v.URL.Query().Get("outage"))
	if err != nil {
		return refuse(err.Error(), "/deadlines", "Deadlines")
	}
	page := deadlines{Days: days, Most: mostOutage}
	now := d.c.Now()
	if page.Runway, page.RunwayOf, err = d.runway(ctx, apps); err != nil {
		return failed(err)
	}
	total, lost := 0, 0
	for _, a := range apps {
		counts, err := d.endings.of(a.Name, now, func() ([]int, error) {
			return d.c.Store.CountDeadlines(ctx, store.DeadlineFilter{App: a.Name}, chartEnds(now))
		})
		if err != nil {
			return failed(err)
		}
		h := draw(a.Name, counts, days)
		total, lost = total+h.Total, lost+h.Lost
		page.Charts = append(page.Charts, h)
	}
	page.Sentence = outageSentence(days, total, lost, now)
	return show("deadlines", "Deadlines", page)
}

// runway is how long everything lasts if nothing is renewed from now on, and the ref
// of what would be lost first; "" if no end is known.
func (d *Dashboard) runway(ctx context.Context, apps []client.App) (left, ref string, err error) {
	var first grant.Grant
	for _, a := range apps {
		list, _, err := d.c.Store.Deadlines(ctx, store.DeadlineFilter{App: a.Name}, store.Page{Limit: 1})
		if err != nil {
			return "", "", err
		}
		if len(list) > 0 && (first.ID == "" || list[0].DeadlineAt.Before(first.DeadlineAt)) {
			first = list[0]
		}
	}
	if first.ID == "" {
		return "", "", nil
	}
	by, err := d.c.Store.ConnectionsByID(ctx, []string{first.ConnectionID})
	if err != nil || len(by) == 0 { // it was deleted just now
		return "", "", err
	}
	return runway(max(first.DeadlineAt.Sub(d.c.Now()), 0)), by[first.ConnectionID].Ref().String(), nil
}

// endings keeps for a few seconds how many grants of an app end by when: counting
// them costs what there are, and a page that is dragged about asks often.
type endings struct {
	mu   sync.Mutex
	apps map[string]ending
}

type ending struct {
	at     time.Time
	counts []int
}

func (e *endings) of(app string, now time.Time, count func() ([]int, error)) ([]int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if was, ok := e.apps[app]; ok && fresh(was.at, now) {
		return was.counts, nil
	}
	counts, err := count()
	if err != nil {
		return nil, err
	}
	if e.apps == nil {
		e.apps = map[string]ending{}
	}
	e.apps[app] = ending{now, counts}
	return counts, nil
}

// outage reads the days of an outage, as in 3d or 3; three if nothing is said.
func outage(text string) (int, error) {
	if text == "" {
		return 3, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	if err != nil || n < 0 || n > mostOutage {
		return 0, fmt.Errorf("outage is a number of days from 0 to %d, such as 3d", mostOutage)
	}
	return n, nil
}

// chartEnds are the ends of a histogram's columns. The last one takes in all that
// is later: the year 9999 is further than any provider promises.
func chartEnds(now time.Time) []time.Time {
	var ends []time.Time
	for i := range chartDays {
		ends = append(ends, now.AddDate(0, 0, i+1))
	}
	return append(ends, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
}

// draw makes a histogram of how many grants die before each of chartEnds.
func draw(app string, before []int, outage int) histogram {
	h := histogram{App: app, Total: before[len(before)-1], Shade: outage * columnWidth, Width: (chartDays + 4) * columnWidth}
	highest, sum := 0, 0
	for i, n := range before {
		c := column{Count: n - sum, X: i * columnWidth, W: columnWidth - 2, Lost: i < outage}
		sum = n
		switch c.Label = words.Counted(i, "day", "days"); {
		case i == 0:
			c.Label = "less than a day"
		case i == chartDays:
			c.Label, c.X, c.W = "later", (i+1)*columnWidth, 3*columnWidth-2
		}
		if c.Lost {
			h.Lost += c.Count
		}
		if c.Count > highest {
			highest, h.Highest = c.Count, fmt.Sprintf("the tallest column is %d, %s", c.Count, inDays(c.Label))
		}
		h.Bars = append(h.Bars, c)
	}
	for i := range h.Bars {
		if c := &h.Bars[i]; c.Count > 0 {
			c.H = max(c.Count*chartHeight/highest, 2) // one of many is to be seen too
			c.Y = chartHeight - c.H
		}
	}
	return h
}

// inDays puts a column's label into a sentence.
func inDays(label string) string {
	if label == "later" {
		return label
	}
	return "in " + label
}

// outageSentence says what an outage would cost.
func outageSentence(days, total, lost int, now time.Time) string {
	switch {
	case total == 0:
		return "No approval has a known end."
	case days == 0:
		return "Without an outage nothing is lost. Drag to imagine one."
	}
	until := now.AddDate(0, 0, days).UTC().Format("Monday, 2 January")
	if lost == 0 {
		return fmt.Sprintf("If we could not renew for %s: nothing would be lost by %s.", words.Counted(days, "day", "days"), until)
	}
	return fmt.Sprintf("If we could not renew for %s: %s would be lost by %s.", words.Counted(days, "day", "days"),
		words.Counted(lost, "approval", "approvals"), until)
}
