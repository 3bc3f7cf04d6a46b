package cli

import (
	"fmt"
	"strconv"

	"github.com/evergrant/evergrant"
	"github.com/evergrant/evergrant/internal/words"
)

type connectionVerifyCmd struct {
	Ref string `arg:"" help:"Connection, like biz_42@k-series."`
}

// Run has the server try a connection's tokens at the provider's API. It fails
// if one does not work.
func (c *connectionVerifyCmd) Run(s *session) error {
	r, err := s.remoteFor(c.Ref)
	if err != nil {
		return err
	}
	grants, err := r.Verify(s.ctx, evergrant.Ref(c.Ref))
	if err != nil {
		return r.failedRef(c.Ref, err)
	}
	count := map[string]int{}
	var rows [][]string
	for _, g := range grants {
		count[g.Result]++
		rows = append(rows, []string{g.ID, g.Result, g.Reason, strconv.Itoa(g.Locations)})
	}
	if s.root.JSON {
		err = s.printJSON(r.answers.last)
	} else {
		err = s.table([]string{"GRANT", "TOKEN", "REASON", "LOCATIONS"}, rows)
	}
	if err != nil {
		return err
	}
	switch {
	case count["refused"] > 0:
		return fmt.Errorf("%s: the provider refuses %s; next: evergrant connection refresh %s", c.Ref, words.Counted(count["refused"], "token", "tokens"), c.Ref)
	case count["unavailable"] > 0:
		return &failure{code: exitTemporary, err: fmt.Errorf("%s: the provider gave no usable answer; next: evergrant why %s", c.Ref, c.Ref)}
	case count["unchecked"] > 0 && !s.root.JSON:
		s.say("This provider has no call by which a token without a use could be tried.")
	}
	return nil
}
