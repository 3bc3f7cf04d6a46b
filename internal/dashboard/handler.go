package dashboard

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/browser"
	"github.com/evergrant/evergrant/internal/store"
)

// visit is one request of somebody who was let in.
type visit struct {
	*http.Request
	who access.Person
}

// ref is the connection that the address names.
func (v *visit) ref() evergrant.Ref { return evergrant.Ref(v.PathValue("ref")) }

// answer is what a request comes to: a page, or the way to another one.
type answer struct {
	view     string // a file of web/ without its ending
	status   int    // 0 means 200
	title    string
	data     any
	location string // instead of a page: 303 to there, a path of ours
	problem  error  // instead of both
}

func goTo(path string) answer   { return answer{location: path} }
func failed(err error) answer   { return answer{problem: err} }
func refPath(ref string) string { return "/connections/" + url.PathEscape(ref) }

// refuse answers a request that makes no sense, and says where to go on.
func refuse(why, link, label string) answer {
	return answer{view: "message", status: http.StatusBadRequest, title: "That cannot be done",
		data: note{Text: []string{upper(why) + "."}, Link: link, Label: label}}
}

// unread is failed where it may be the cursor in the address that cannot be read.
func unread(v *visit, err error) answer {
	var told *evergrant.Error
	if v.URL.Query().Get("cursor") == "" || errors.Is(err, store.ErrUnavailable) || errors.As(err, &told) {
		return failed(err)
	}
	return refuse("the address was cut off on its way", v.URL.Path, "From the beginning")
}

func show(view, title string, data any) answer {
	return answer{view: view, title: title, data: data}
}

// get serves a page to everybody who was let in.
func (d *Dashboard) get(path string, h func(*visit) answer) {
	d.mux.Handle("GET "+path, d.page(access.Viewer, h))
}

// ask serves the page before a deed that only operators may do.
func (d *Dashboard) ask(path string, h func(*visit) answer) {
	d.mux.Handle("GET "+path, d.page(access.Operator, h))
}

// post does something for those who may, and only if a page of ours asked for it.
func (d *Dashboard) post(path string, least access.Role, h func(*visit) answer) {
	d.mux.Handle("POST "+path, http.NewCrossOriginProtection().Handler(d.page(least, h)))
}

// page lets in who may and writes what h answers, so that no page can miss a
// header.
func (d *Dashboard) page(least access.Role, h func(*visit) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header())
		who, ok := d.c.Who(r)
		if !ok {
			d.turnAway(w, r)
			return
		}
		v := &visit{Request: r, who: who}
		a := notAllowed(least, who.Role)
		if who.Role.May(least) {
			if r.Method == http.MethodPost {
				r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			}
			a = h(v)
		}
		d.write(w, v, a)
	})
}

// notAllowed answers those whose role does not do.
func notAllowed(least, role access.Role) answer {
	return answer{status: http.StatusForbidden, view: "message", title: "Not allowed",
		data: note{Text: []string{"This needs the role " + string(least) + "; yours is " + string(role) + "."}, Link: "/", Label: "Who needs help?"}}
}

// maxForm bounds what is read of a form.
const maxForm = 64 << 10

// turnAway answers those who are not let in: to see a page they log in first.
func (d *Dashboard) turnAway(w http.ResponseWriter, r *http.Request) {
	if d.c.Login == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "Log in first.", http.StatusForbidden)
		return
	}
	to := d.c.Login
	if next := r.URL.RequestURI(); next != "/" {
		to += "?next=" + url.QueryEscape(d.c.Prefix+next)
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// write turns an answer into a response.
func (d *Dashboard) write(w http.ResponseWriter, v *visit, a answer) {
	if a.problem != nil {
		a = d.explain(v, a.problem)
	}
	if a.location != "" {
		w.Header().Set("Location", d.c.Prefix+a.location)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	err := browser.Write(w, v.Request, cmp.Or(a.status, http.StatusOK), func(to io.Writer) error { return d.views.render(to, a.view, d.frame(v, a)) })
	if err != nil {
		d.c.Logger.ErrorContext(v.Context(), "dashboard: a page could not be rendered", "view", a.view, "error", err)
		http.Error(w, "Something went wrong here. The log says what.", http.StatusInternalServerError)
	}
}

// guard sets the headers every answer has.
func guard(h http.Header) { browser.Guard(h, browser.Page{Forms: true, Script: true, Referrer: true}) }

// note is what the view "message" shows: a text and perhaps a way on.
type note struct {
	Text  []string
	Link  string // a path of ours
	Label string
}

// explain is the page of a failure.
func (d *Dashboard) explain(v *visit, err error) answer {
	a := answer{view: "message", status: http.StatusInternalServerError, title: "Something went wrong here"}
	n := note{Text: []string{"The server's log says what."}, Link: "/", Label: "Who needs help?"}
	var e *evergrant.Error
	switch {
	case errors.As(err, &e) && errors.Is(err, evergrant.ErrNotFound):
		a.status, a.title = http.StatusNotFound, "There is no such thing"
		n.Text = []string{"It may have been deleted, or the address was cut off on its way."}
	case errors.As(err, &e) && errors.Is(err, evergrant.ErrTemporary):
		a.status, a.title = http.StatusServiceUnavailable, "Not now"
		n.Text = []string{e.Message, "Try again in a moment."}
	case errors.As(err, &e) && errors.Is(err, evergrant.ErrInvalid):
		a.status, a.title = http.StatusBadRequest, "That cannot be done"
		n.Text = []string{e.Message}
	case errors.As(err, &e):
		a.status, a.title = http.StatusConflict, "That did not work"
		n.Text = []string{e.Message}
	case errors.Is(err, store.ErrUnavailable):
		a.status, a.title = http.StatusServiceUnavailable, "Not now"
		n.Text = []string{"The store cannot be read now. Tokens are served as long as they last. Try again in a moment."}
	default:
		d.c.Logger.LogAttrs(v.Context(), slog.LevelError, "dashboard: a page failed", slog.String("route", route(v.Request)), slog.String("error", err.Error()))
	}
	a.data = n
	return a
}

// route is the pattern that matched, never the path, which a stranger wrote.
func route(r *http.Request) string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return path
}

// nowhere answers for addresses that do not exist.
func (d *Dashboard) nowhere(*visit) answer {
	return answer{view: "message", status: http.StatusNotFound, title: "There is no such page",
		data: note{Text: []string{"The address may have been cut off on its way."}, Link: "/", Label: "Who needs help?"}}
}

// did logs what somebody did by hand. The API's own log has it too, without the
// person's name.
func (d *Dashboard) did(v *visit, what string, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String("by", v.who.Name), slog.String("role", string(v.who.Role)))
	d.c.Logger.LogAttrs(v.Context(), slog.LevelInfo, "dashboard: "+what, attrs...)
}

// frame is what every page has around its own.
type frame struct {
	Title   string
	Who     access.Person
	Nav     []tab
	Search  string
	Logout  string
	Live    bool
	Style   string
	Script  string
	Version string
	Data    any
}

// tab is a link that may be where one is.
type tab struct {
	Label, Path string
	Current     bool
	Count       int // shown if it is not negative
}

func (d *Dashboard) frame(v *visit, a answer) frame {
	f := frame{
		Title: a.title, Who: v.who, Search: v.URL.Query().Get("q"), Logout: d.c.Logout, Live: d.c.Grown != nil && v.Method != http.MethodPost, // what was shown once must stay
		Style: d.assets.href("dashboard.css"), Script: d.assets.href("dashboard.js"), Version: d.c.Version, Data: a.data,
	}
	pages := []tab{{Label: "Needs help", Path: "/"}, {Label: "Connections", Path: "/connections"}, {Label: "Deadlines", Path: "/deadlines"},
		{Label: "Providers", Path: "/providers"}, {Label: "Links", Path: "/links"}, {Label: "Events", Path: "/events"}, {Label: "Settings", Path: "/settings"}}
	if d.c.Sandbox != "" {
		pages = append(pages, tab{Label: "Sandbox", Path: "/sandbox"})
	}
	for _, p := range pages {
		p.Count = -1
		p.Current = v.URL.Path == p.Path || p.Path != "/" && strings.HasPrefix(v.URL.Path, p.Path+"/")
		f.Nav = append(f.Nav, p)
	}
	return f
}

// formLocale reads the language that a form asks for; "" if it names none we know.
func formLocale(v *visit) string {
	tag := v.PostFormValue("locale")
	for _, l := range languages() {
		if l.Tag == tag {
			return tag
		}
	}
	return ""
}
