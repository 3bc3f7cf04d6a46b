package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// controlRoot is where the control API is.
const controlRoot = "/_sandbox"

func (s *Sandbox) routeControl() {
	answer := func(status int, f func(r *http.Request, body []byte) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if err != nil {
				writeJSON(w, http.StatusBadRequest, map[string]any{"error": "body: cannot be read or is longer than 1 MiB"})
				return
			}
			content, err := f(r, body)
			switch {
			case errors.Is(err, errNoUser):
				writeJSON(w, http.StatusNotFound, map[string]any{"error": err.Error()})
			case err != nil:
				writeJSON(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			default:
				writeJSON(w, status, content)
			}
		}
	}
	handle := func(pattern string, status int, f func(r *http.Request, body []byte) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		s.mux.HandleFunc(method+" "+controlRoot+path, answer(status, f))
	}
	handle("GET /state", http.StatusOK, func(*http.Request, []byte) (any, error) { return s.state(), nil })
	handle("GET /report", http.StatusOK, func(*http.Request, []byte) (any, error) { return s.Report(), nil })
	handle("GET /log", http.StatusOK, s.controlLog)
	handle("GET /faults", http.StatusOK, func(*http.Request, []byte) (any, error) { return s.listFaults(), nil })
	handle("POST /faults", http.StatusCreated, s.controlFault)
	handle("DELETE /faults", http.StatusOK, s.controlHeal)
	handle("POST /reset", http.StatusOK, s.controlReset)
	handle("POST /clock", http.StatusOK, s.controlClock)
	handle("POST /lifetimes", http.StatusOK, s.controlLifetimes)
	handle("POST /clients", http.StatusOK, s.controlClient)
	handle("POST /users", http.StatusOK, s.controlUser)
	handle("POST /users/{email}/revoke", http.StatusOK, s.controlRevoke)
	handle("POST /users/{email}/lock", http.StatusOK, s.controlLock(true))
	handle("POST /users/{email}/unlock", http.StatusOK, s.controlLock(false))
	s.mux.HandleFunc(controlRoot+"/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]any{"error": "no such control; GET / lists them"})
	})
}

// decode reads a JSON object into v, a struct of this package. Its errors name
// the field.
func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Errorf("%s: %s does not fit", wrongType.Field, clip(wrongType.Value))
	case errors.As(err, &wrongType):
		return errors.New("body: must be a JSON object")
	case err != nil:
		return fmt.Errorf("body: %s", clip(err.Error()))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("body: more than one JSON value")
	}
	return nil
}

// optionalDuration reads the duration of a field that may be absent.
func optionalDuration(field, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := parseDuration(value)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	return d, nil
}

func (s *Sandbox) controlClock(_ *http.Request, body []byte) (any, error) {
	var in struct {
		Advance string `json:"advance"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	d, err := parseDuration(in.Advance)
	if err != nil {
		return nil, fmt.Errorf("advance: %w", err)
	}
	if err := s.advance(d); err != nil {
		return nil, err
	}
	return map[string]any{"now": s.Now().UTC()}, nil
}

func (s *Sandbox) controlReset(*http.Request, []byte) (any, error) {
	s.reset()
	s.log.Info("reset")
	return map[string]any{"now": s.Now().UTC()}, nil
}

func (s *Sandbox) controlLifetimes(_ *http.Request, body []byte) (any, error) {
	var in struct {
		Series  string `json:"series"` // a series or a family; "" is all
		Access  string `json:"access"`
		Refresh string `json:"refresh"`
		Code    string `json:"code"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	access, err := optionalDuration("access", in.Access)
	if err != nil {
		return nil, err
	}
	refresh, err := optionalDuration("refresh", in.Refresh)
	if err != nil {
		return nil, err
	}
	code, err := optionalDuration("code", in.Code)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := func(life lifetimes) lifetimes {
		return lifetimes{access: cmp.Or(access, life.access), refresh: cmp.Or(refresh, life.refresh), code: cmp.Or(code, life.code)}
	}
	known := in.Series == ""
	if known {
		s.w.life = set(s.w.life)
	}
	for _, sr := range s.series {
		if in.Series == sr.name || in.Series == sr.family {
			s.w.lifeOf[sr.name], known = set(s.w.lifeOf[sr.name]), true
		}
	}
	if !known {
		return nil, fmt.Errorf("series: %q is none; there are k-series, r-series and x-series", clip(in.Series))
	}
	return s.viewLifetimes(), nil
}

func (s *Sandbox) controlFault(_ *http.Request, body []byte) (any, error) {
	var in struct {
		App      string            `json:"app"`
		ClientID string            `json:"client_id"`
		Fault    string            `json:"fault"`
		Times    int               `json:"times"`
		For      string            `json:"for"`
		Match    map[string]string `json:"match"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if in.App != "" && in.ClientID != "" && in.App != in.ClientID {
		return nil, errors.New("client_id: differs from app; name one of them")
	}
	lasts, err := optionalDuration("for", in.For)
	if err != nil {
		return nil, err
	}
	app := in.App
	if app == "" {
		app = in.ClientID
	}
	a, err := s.addFault(Fault{App: app, Fault: in.Fault, Times: in.Times, For: lasts, Match: in.Match}, in.ClientID != "")
	if err != nil {
		return nil, err
	}
	return viewFault(&a), nil
}

// controlHeal deletes all faults, or those of ?app= and ?fault=.
func (s *Sandbox) controlHeal(r *http.Request, _ []byte) (any, error) {
	q := r.URL.Query()
	app := q.Get("app")
	if app == "" {
		app = q.Get("client_id")
	}
	return map[string]any{"deleted": s.heal(app, q.Get("fault"))}, nil
}

// controlLog answers the requests seen, oldest first; ?limit= only the last.
func (s *Sandbox) controlLog(r *http.Request, _ []byte) (any, error) {
	s.mu.Lock()
	entries := s.w.log.all()
	s.mu.Unlock()
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("limit: %q is not a positive number", clip(text))
		}
		entries = entries[max(0, len(entries)-n):]
	}
	return map[string]any{"data": entries}, nil
}

func (s *Sandbox) controlUser(_ *http.Request, body []byte) (any, error) {
	var u User
	if err := decode(body, &u); err != nil {
		return nil, err
	}
	if a, err := mail.ParseAddress(u.Email); err != nil || a.Address != u.Email || len(u.Email) > 200 {
		return nil, fmt.Errorf("email: %q is not an e-mail address", clip(u.Email))
	}
	if u.Password == "" {
		u.Password = demoPassword
	}
	for i, b := range u.Businesses {
		if b.ID <= 0 {
			return nil, fmt.Errorf("businesses[%d].id: must be positive", i)
		}
		for j, l := range b.Locations {
			if l.ID <= 0 {
				return nil, fmt.Errorf("businesses[%d].locations[%d].id: must be positive", i, j)
			}
		}
	}
	if err := u.Account.check(); err != nil {
		return nil, err
	}
	if err := u.Retailer.check(); err != nil {
		return nil, err
	}
	s.AddUser(u)
	return viewUser(u), nil
}

var errNoUser = errors.New("email: no such user")

// controlRevoke ends the user's grants, or only their access tokens.
func (s *Sandbox) controlRevoke(r *http.Request, body []byte) (any, error) {
	var in struct {
		Only string `json:"only"`
	}
	if len(body) > 0 {
		if err := decode(body, &in); err != nil {
			return nil, err
		}
	}
	email := r.PathValue("email")
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.w.user(email); !ok {
		return nil, errNoUser
	}
	switch in.Only {
	case "":
		return map[string]any{"revoked": s.w.revokeUser(email, s.now())}, nil
	case "access_tokens":
		return map[string]any{"revoked": s.w.endAccessOf(email, s.now())}, nil
	}
	return nil, fmt.Errorf("only: %q is not access_tokens; leave it out to end everything", clip(in.Only))
}

// controlLock locks a user out, or in again.
func (s *Sandbox) controlLock(locked bool) func(*http.Request, []byte) (any, error) {
	return func(r *http.Request, _ []byte) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		u, ok := s.w.user(r.PathValue("email"))
		if !ok {
			return nil, errNoUser
		}
		u.Locked = locked
		s.w.addUser(u)
		return viewUser(u), nil
	}
}
