package grant

// PauseCause says why nothing is refreshed for an app.
type PauseCause string

// The causes of a pause.
const (
	// PausedByOperator: somebody said so.
	PausedByOperator PauseCause = "operator"
	// PausedByRefusals: so many grants were refused at once that the fault is
	// hardly theirs. Single probes go on, and one success ends it.
	PausedByRefusals PauseCause = "refusals"
	// PausedByRestore: the database is older than what was done with it, and the
	// journal does not know all that was lost. The refresh tokens may be spent, and
	// sending a spent one may end its grant, so somebody has to decide.
	PausedByRestore PauseCause = "restore"
)
