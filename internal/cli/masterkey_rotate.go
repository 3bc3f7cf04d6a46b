package cli

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/store"
	"github.com/evergrant/evergrant/internal/store/postgres"
	"github.com/evergrant/evergrant/internal/store/sqlite"
	"github.com/evergrant/evergrant/internal/words"
)

type masterKeyStatusCmd struct{}

// masterKeyStatus is how the master keys stand.
type masterKeyStatus struct {
	Sealing string   `json:"sealing"` // id of the key the database is sealed with, "" if it is empty
	First   string   `json:"first"`   // id of the key that is to seal it
	Listed  []string `json:"listed"`
	Opens   bool     `json:"opens"`
}

// Run says which master key the database is sealed with.
func (c *masterKeyStatusCmd) Run(s *session) error {
	conf, st, err := s.masterKeys()
	if err != nil {
		return err
	}
	if s.root.JSON {
		err = s.printValue(st)
	} else if _, err = fmt.Fprintf(s.stdout, "sealed with  %s\n", words.Printable(st.Sealing)); err == nil {
		for i, id := range st.Listed {
			note := "opens what it sealed"
			if i == 0 {
				note = "seals"
			}
			if _, err = fmt.Fprintf(s.stdout, "listed       %s, %s\n", words.Printable(id), note); err != nil {
				return err
			}
		}
	}
	switch {
	case err != nil:
		return err
	case !st.Opens:
		return fmt.Errorf("no master key of %s opens the database; put back the one called %s", conf.File(), st.Sealing)
	case st.Sealing != "" && st.Sealing != st.First:
		s.say("Next: evergrant master-key rotate, or restart the server")
	}
	return nil
}

// masterKeys reads how the master keys of the configuration stand.
func (s *session) masterKeys() (*config.Config, masterKeyStatus, error) {
	conf, err := config.Load(s.configFile(""), nil)
	if err != nil {
		return nil, masterKeyStatus{}, err
	}
	st := masterKeyStatus{First: conf.Masters()[0].ID, Opens: true}
	for _, m := range conf.Masters() {
		st.Listed = append(st.Listed, m.ID)
	}
	db, err := openDatabase(s.ctx, conf.Storage)
	if err != nil {
		return nil, st, err
	}
	defer db.Close()
	rest, err := db.Rest(s.ctx)
	if err != nil {
		return nil, st, fmt.Errorf("read the data key: %w", err)
	}
	if rest.DataKey.Wrapped != nil {
		st.Sealing = rest.DataKey.MasterID
		_, err := seal.Open(s.ctx, rest.DataKey, conf.Masters())
		st.Opens = err == nil
	}
	return conf, st, nil
}

type masterKeyRotateCmd struct{}

// Run wraps the data key with the first master key of the configuration, as a
// server does when it starts. What is sealed stays as it is.
func (c *masterKeyRotateCmd) Run(s *session) (err error) {
	conf, st, err := s.masterKeys()
	if err != nil {
		return err
	}
	switch {
	case !st.Opens:
		return fmt.Errorf("no master key of %s opens the database; put back the one called %s behind the new one", conf.File(), st.Sealing)
	case st.Sealing == st.First:
		return fmt.Errorf("the database is sealed with %s, the first of encryption.keys; to rotate, make a key with evergrant master-key generate --out FILE and list it in front", st.First)
	}
	if !conf.Storage.Shared() {
		if conn, err := net.DialTimeout("unix", conf.Socket(), time.Second); err == nil {
			_ = conn.Close()
			return fmt.Errorf("a server has the database; restart it: it wraps the data key with %s when it starts", st.First)
		}
	}
	var keys interface {
		store.DataKeys
		Close() error
	}
	if conf.Storage.Shared() {
		keys, err = postgres.Open(s.ctx, postgresOptions(conf.Storage))
	} else {
		keys, err = sqlite.Open(s.ctx, sqlite.Options{Path: conf.Storage.SQLite})
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	if _, err := seal.Open(s.ctx, keys, conf.Masters()); err != nil {
		return err
	}
	if s.root.JSON {
		return s.printValue(map[string]string{"from": st.Sealing, "to": st.First})
	}
	s.say("The database is sealed with %s now. Keep %s for its backups; it may leave the configuration.", st.First, st.Sealing)
	return nil
}
