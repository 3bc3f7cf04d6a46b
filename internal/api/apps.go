package api

import (
	"context"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/manager"
)

// appWire is an app as it is answered.
type appWire struct {
	Name           string     `json:"name"`
	Provider       string     `json:"provider"`
	Title          string     `json:"title" doc:"the provider's name, for people"`
	Environment    string     `json:"environment"`
	ClientID       string     `json:"client_id"`
	Scopes         []string   `json:"scopes" nullable:"false"`
	RequiredScopes []string   `json:"required_scopes" nullable:"false"`
	RedirectURI    string     `json:"redirect_uri" doc:"to be registered at the provider"`
	Rotation       string     `json:"rotation" doc:"what using a refresh token does to it"`
	CredentialsOK  bool       `json:"credentials_ok" doc:"whether the provider accepts the client id and secret"`
	Paused         bool       `json:"paused"`
	PausedBecause  *string    `json:"paused_because" enum:"operator,refusals,restore" doc:"operator: somebody said so; refusals: too many grants were refused at once, and one success ends it; restore: the database was restored and refresh tokens in it may be spent"`
	Reason         string     `json:"reason" doc:"ok, app_credentials_rejected or app_paused"`
	ActBy          string     `json:"act_by" enum:"merchant,operator,provider,nobody"`
	Since          *time.Time `json:"since"`
}

func wireApp(st manager.AppStatus) appWire {
	a := st.App
	var cause *string
	if st.Cause != "" {
		c := string(st.Cause)
		cause = &c
	}
	return appWire{
		Name: a.Name, Provider: a.Recipe.Name, Title: a.Recipe.Title, Environment: string(a.Environment), ClientID: a.ClientID,
		Scopes: orEmpty(a.Scopes), RequiredScopes: orEmpty(a.RequiredScopes), RedirectURI: a.RedirectURI,
		Rotation:      string(a.Policy.Rotation),
		CredentialsOK: st.Reason != grant.AppCredentialsRejected, Paused: st.Reason == grant.AppPaused, PausedBecause: cause,
		Reason: string(st.Reason), ActBy: string(st.Reason.ActBy()), Since: at(st.Since),
	}
}

func (s *server) listApps(c *call, _ none) (page[appWire], error) {
	var visible []manager.AppStatus
	for _, a := range s.c.Manager.Apps() {
		if sees(c.key, a.App.Name) {
			visible = append(visible, a)
		}
	}
	return listOf(c, visible, func(a manager.AppStatus) string { return a.App.Name }, wireApp)
}

func (s *server) getApp(c *call, _ none) (appWire, error) {
	name := c.r.PathValue("app")
	for _, a := range s.c.Manager.Apps() {
		if a.App.Name == name && sees(c.key, name) {
			return wireApp(a), nil
		}
	}
	return appWire{}, errNoSuch("app")
}

func (s *server) pauseApp(c *call, _ none) (appWire, error) {
	return s.changeApp(c, s.c.Manager.PauseApp)
}

func (s *server) resumeApp(c *call, _ none) (appWire, error) {
	return s.changeApp(c, s.c.Manager.ResumeApp)
}

// changeApp changes something that every business of an app feels.
func (s *server) changeApp(c *call, change func(context.Context, string) (manager.AppStatus, error)) (appWire, error) {
	name := c.r.PathValue("app")
	if !sees(c.key, name) {
		return appWire{}, errNoSuch("app")
	}
	if c.key.Businesses != nil {
		return appWire{}, newProblem(http.StatusForbidden, codeForbidden, "a key limited to businesses cannot change an app for all of them")
	}
	st, err := change(c.r.Context(), name)
	if err != nil {
		return appWire{}, err
	}
	return wireApp(st), nil
}
