package manager

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/provider"
)

// AppStatus is an app with its incident, if it has one.
type AppStatus struct {
	App *provider.App
	// Reason is ok, app_credentials_rejected or app_paused.
	Reason grant.Reason
	Cause  grant.PauseCause // of a pause, "" otherwise
	Since  time.Time
}

// Apps returns the apps with their incidents, ordered by name.
func (m *Manager) Apps() []AppStatus {
	var all []AppStatus
	for _, name := range slices.Sorted(maps.Keys(m.c.Apps)) {
		all = append(all, m.appStatus(name))
	}
	return all
}

func (m *Manager) appStatus(name string) AppStatus {
	in := m.engine.Incident(name)
	return AppStatus{App: m.c.Apps[name], Reason: in.Reason, Cause: in.Cause, Since: in.Since}
}

// PauseApp stops all refreshes of an app until it is resumed, across restarts.
// Its tokens are served as long as they last. Pausing a paused app changes
// nothing. The error is evergrant.ErrNotFound if there is no such app.
func (m *Manager) PauseApp(ctx context.Context, name string) (AppStatus, error) {
	return m.changeApp("pause app", name, m.engine.Pause(ctx, name, grant.PausedByOperator, nil))
}

// ResumeApp ends an app's pause, whatever caused it. Resuming an app that is
// not paused changes nothing. The error is evergrant.ErrNotFound if there is no
// such app.
func (m *Manager) ResumeApp(ctx context.Context, name string) (AppStatus, error) {
	return m.changeApp("resume app", name, m.engine.Resume(ctx, name))
}

func (m *Manager) changeApp(op, name string, err error) (AppStatus, error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return AppStatus{}, &evergrant.Error{Op: op, Code: codeNotFound, Message: fmt.Sprintf("there is no app %q", name), Err: evergrant.ErrNotFound}
	case err != nil && !errors.Is(err, store.ErrStale):
		return AppStatus{}, m.internal(op, "", err)
	}
	return m.appStatus(name), nil
}

// unhealthy returns the apps under an incident, nil if none is.
func (m *Manager) unhealthy() map[string]grant.Reason {
	var u map[string]grant.Reason
	for name := range m.c.Apps {
		if reason := m.engine.Incident(name).Reason; reason != grant.OK {
			if u == nil {
				u = make(map[string]grant.Reason)
			}
			u[name] = reason
		}
	}
	return u
}

// overlay shows an app's incident in a status: what is connected is degraded
// while the app itself is refused or paused.
func (m *Manager) overlay(app string, s grant.Status) grant.Status {
	in := m.engine.Incident(app)
	if in.Reason == grant.OK || s.State != grant.Connected {
		return s
	}
	return grant.StatusOf(in.Reason, in.Since)
}
