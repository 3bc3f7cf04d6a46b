package cli

import (
	"fmt"

	"github.com/evergrant/evergrant/internal/config"
	"github.com/evergrant/evergrant/internal/store/audit"
	"github.com/evergrant/evergrant/internal/store/whole"
	"github.com/evergrant/evergrant/internal/words"
)

type dbCheckCmd struct{}

// maxFaults is how many faults are told; the rest is counted.
const maxFaults = 100

// checked is what a check came to.
type checked struct {
	Database string       `json:"database"`
	Rows     whole.Counts `json:"rows"`
	Count    int          `json:"fault_count"`
	Faults   []checkFault `json:"faults"`
}

type checkFault struct {
	Subject string `json:"subject"`
	What    string `json:"what"`
}

// Run checks the database.
func (c *dbCheckCmd) Run(s *session) error {
	conf, err := config.Load(s.configFile(""), nil)
	if err != nil {
		return err
	}
	db, err := openDatabase(s.ctx, conf.Storage)
	if err != nil {
		return err
	}
	defer db.Close()
	st, err := db.Status(s.ctx)
	if err != nil {
		return err
	}
	if st.Schema != st.Known {
		return fmt.Errorf("%s cannot be checked: its schema is %s", databaseName(st), schemaText(st))
	}
	r := checked{Database: databaseName(st), Faults: []checkFault{}}
	p := newPace()
	r.Rows, err = audit.Run(s.ctx, db, audit.Options{Masters: conf.Masters(),
		Found: func(f whole.Fault) error {
			if r.Count++; r.Count > maxFaults {
				return nil
			}
			r.Faults = append(r.Faults, checkFault{f.Subject, f.What})
			if s.root.JSON {
				return nil
			}
			_, err := fmt.Fprintf(s.stdout, "%s: %s\n", words.Printable(f.Subject), words.Printable(f.What))
			return err
		},
		Progress: func(read whole.Counts) {
			if p.due() {
				s.say("read %d of %d rows", read.Rows(), st.Counts.Rows())
			}
		}})
	if err != nil {
		return fmt.Errorf("check %s: %w", r.Database, err)
	}
	if s.root.JSON {
		err = s.printValue(r)
	} else {
		s.sayChecked(r)
	}
	if err == nil && r.Count > 0 {
		return exit(exitFailed)
	}
	return err
}

func (s *session) sayChecked(r checked) {
	const read = "%d rows of %s were read: "
	switch {
	case r.Count == 0:
		s.say(read+"all is well.", r.Rows.Rows(), r.Database)
	case r.Count > maxFaults:
		s.say(read+"%d faults, of which %d are told.", r.Rows.Rows(), r.Database, r.Count, maxFaults)
	case r.Count == 1:
		s.say(read+"1 fault.", r.Rows.Rows(), r.Database)
	default:
		s.say(read+"%d faults.", r.Rows.Rows(), r.Database, r.Count)
	}
}
