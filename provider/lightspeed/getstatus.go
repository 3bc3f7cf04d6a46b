package lightspeed

// HTTPStatus returns the status of the answer, for those who ask whether a token
// was refused.
func (e *statusError) HTTPStatus() int { return e.status }
