package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/client"
)

// sandboxPage is the control room of the provider on this machine.
type sandboxPage struct {
	Address  string
	Now      time.Time
	Ahead    string
	Users    []sandboxUser
	Faults   []sandboxFault
	Grants   int // live ones
	Dead     int
	Report   sandboxReport
	Apps     []client.App
	Breaks   []faultChoice
	Advances []string
	Done     string
}

// What the sandbox's control API answers, as far as it is shown.
type (
	sandboxState struct {
		Now      time.Time      `json:"now"`
		Advanced string         `json:"advanced"`
		Users    []sandboxUser  `json:"users"`
		Faults   []sandboxFault `json:"faults"`
		Grants   []sandboxGrant `json:"grants"`
	}
	sandboxUser struct {
		Email      string                  `json:"email"`
		Name       string                  `json:"name"`
		Locked     bool                    `json:"locked"`
		Businesses []struct{ Name string } `json:"businesses"`
		Account    *struct{ Name string }  `json:"account"`
		Retailer   *struct{ Name string }  `json:"retailer"`
		Live       int                     `json:"-"` // grants
	}
	sandboxGrant struct {
		Email string `json:"email"`
		State string `json:"state"`
	}
	sandboxFault struct {
		App   string    `json:"app"`
		Fault string    `json:"fault"`
		Left  *int      `json:"times_left"`
		Until time.Time `json:"until"`
		Hits  int       `json:"hits"`
	}
	sandboxReport struct {
		Violations       []sandboxFinding `json:"violations"`
		Notes            []sandboxFinding `json:"notes"`
		Exchanges        int              `json:"exchanges"`
		Refreshes        int              `json:"refreshes"`
		SendsPerRotation float64          `json:"sends_per_rotation"`
	}
	sandboxFinding struct {
		Kind       string    `json:"kind"`
		Time       time.Time `json:"time"`
		Detail     string    `json:"detail"`
		AfterFault string    `json:"after_fault"`
	}
)

// Called is the names of what a user can log in for.
func (u sandboxUser) Called() string {
	var names []string
	for _, b := range u.Businesses {
		names = append(names, b.Name)
	}
	if u.Account != nil {
		names = append(names, u.Account.Name)
	}
	if u.Retailer != nil {
		names = append(names, u.Retailer.Name)
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// faultChoice is a way to break something.
type faultChoice struct{ Fault, Label string }

// breaks are the faults that have a button, in the order of how much they tell.
func breaks() []faultChoice {
	return []faultChoice{
		{"lose_answer", "lose the answers"}, {"lose_request", "lose the requests on their way"}, {"slow", "answer after 15 seconds"},
		{"status_500", "answer 500"}, {"status_503", "answer 503"}, {"status_429", "answer 429, too many requests"}, {"html", "answer a web page"},
		{"truncate", "cut the answers off"}, {"bad_json", "answer broken JSON"}, {"reset", "reset the connection"},
		{"invalid_grant_once", "refuse one approval, wrongly"}, {"invalid_client", "refuse the app"}, {"no_refresh_token", "send no refresh token"},
		{"no_expires_in", "say no lifetime"}, {"scope_shrink", "leave out a permission"}, {"same_token", "answer the same tokens"}, {"api_401", "refuse good tokens at the API"},
	}
}

// advances are how far the clock can be moved.
func advances() []string { return []string{"1h", "1d", "13d"} }

// mostFindings bounds what is shown of the judge's lists.
const mostFindings = 20

func (d *Dashboard) sandbox(v *visit) answer {
	ctx := v.Context()
	var st sandboxState
	page := sandboxPage{Address: d.c.Sandbox, Breaks: breaks(), Advances: advances(), Done: sandboxDone[v.URL.Query().Get("done")]}
	err := errors.Join(d.control(ctx, http.MethodGet, "/state", nil, &st), d.control(ctx, http.MethodGet, "/report", nil, &page.Report))
	if err != nil {
		return answer{view: "message", status: http.StatusBadGateway, title: "The sandbox does not answer", data: note{Text: []string{upper(err.Error()) + "."}}}
	}
	apps, err := d.c.API.Apps(ctx)
	if err != nil {
		return failed(err)
	}
	for _, a := range apps {
		if a.Environment == "sandbox" {
			page.Apps = append(page.Apps, a)
		}
	}
	live := map[string]int{}
	for _, g := range st.Grants {
		if g.State == "live" {
			page.Grants++
			live[g.Email]++
		} else {
			page.Dead++
		}
	}
	page.Now, page.Ahead, page.Users, page.Faults = st.Now, st.Advanced, st.Users, st.Faults
	for i := range page.Users {
		page.Users[i].Live = live[page.Users[i].Email]
	}
	page.Report.Violations = newestFirst(page.Report.Violations)
	page.Report.Notes = newestFirst(page.Report.Notes)
	return show("sandbox", "Sandbox", page)
}

// newestFirst turns a list round and cuts it.
func newestFirst(list []sandboxFinding) []sandboxFinding {
	slices.Reverse(list)
	return list[:min(len(list), mostFindings)]
}

// sandboxDone is what the page says once something was done.
var sandboxDone = map[string]string{
	"clock": "The clock was moved. What is due by it is renewed now.",
	"break": "It is broken from now on. Watch the first page.",
	"heal":  "Nothing is broken any more.",
	"user":  "Done. What it means for us shows at the next renewal.",
}

// controlled leads back to the page, or says why it could not be done.
func (d *Dashboard) controlled(v *visit, err error, what, did string, attrs ...slog.Attr) answer {
	if err != nil {
		return refuse(err.Error(), "/sandbox", "Sandbox")
	}
	d.did(v, did, attrs...)
	return goTo("/sandbox?done=" + what)
}

// advance moves the sandbox's clock.
func (d *Dashboard) advance(v *visit) answer {
	by := v.PostFormValue("by")
	if !slices.Contains(advances(), by) {
		return refuse("the clock is moved by 1h, 1d or 13d", "/sandbox", "Sandbox")
	}
	err := d.control(v.Context(), http.MethodPost, "/clock", map[string]string{"advance": by}, nil)
	return d.controlled(v, err, "clock", "moved the sandbox's clock", slog.String("by", by))
}

// breakIt has the sandbox misbehave.
func (d *Dashboard) breakIt(v *visit) answer {
	fault, app := v.PostFormValue("fault"), v.PostFormValue("app")
	if !slices.ContainsFunc(breaks(), func(c faultChoice) bool { return c.Fault == fault }) {
		return refuse("there is no such fault", "/sandbox", "Sandbox")
	}
	body := map[string]any{"fault": fault}
	if app != "" {
		a, err := d.c.API.App(v.Context(), app)
		if err != nil {
			return failed(err)
		}
		body["client_id"] = a.ClientID
	}
	if v.PostFormValue("times") == "1" {
		body["times"] = 1
	}
	err := d.control(v.Context(), http.MethodPost, "/faults", body, nil)
	return d.controlled(v, err, "break", "broke the sandbox", slog.String("fault", fault))
}

// heal ends all faults.
func (d *Dashboard) heal(v *visit) answer {
	return d.controlled(v, d.control(v.Context(), http.MethodDelete, "/faults", nil, nil), "heal", "healed the sandbox")
}

// changeUser has a user of the provider take access away or give it back.
func (d *Dashboard) changeUser(v *visit) answer {
	what := v.PostFormValue("what")
	if !slices.Contains([]string{"revoke", "lock", "unlock"}, what) {
		return refuse("a user can be revoked, locked and unlocked", "/sandbox", "Sandbox")
	}
	email := v.PostFormValue("email")
	if email == "" {
		return refuse("the user is missing", "/sandbox", "Sandbox")
	}
	err := d.control(v.Context(), http.MethodPost, "/users/"+url.PathEscape(email)+"/"+what, map[string]string{}, nil)
	return d.controlled(v, err, "user", "changed a user of the sandbox", slog.String("what", what))
}

// mostControl bounds what is read of an answer, and controlFor how long it may take.
const (
	mostControl = 16 << 20
	controlFor  = 10 * time.Second
)

// control calls the sandbox's control API.
func (d *Dashboard) control(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, controlFor)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(d.c.Sandbox, "/")+"/_sandbox"+path, body)
	if err != nil {
		return fmt.Errorf("the sandbox's address: %w", err)
	}
	res, err := d.sandboxClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the sandbox: %w", err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, mostControl))
	if err != nil {
		return fmt.Errorf("read what the sandbox says: %w", err)
	}
	var problem struct{ Error string }
	switch {
	case res.StatusCode >= 300 && json.Unmarshal(said, &problem) == nil && problem.Error != "":
		return errors.New(problem.Error)
	case res.StatusCode >= 300:
		return fmt.Errorf("the sandbox answers %d", res.StatusCode)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(said, out); err != nil {
		return fmt.Errorf("read what the sandbox says: %w", err)
	}
	return nil
}
