package simulation

import (
	"fmt"
	"testing"

	"github.com/anishathalye/porcupine"
)

// call is one operation on a connection, as its caller sees it.
type call struct {
	what string // get, reject, refresh, reconnect, disconnect
	of   age    // reject: the token; reconnect: the consent
}

// result is what came back.
type result struct {
	token  age
	warned bool
	err    string // "", "reauthorize" or "temporary"
}

// current is what the model knows of a connection.
type current struct {
	token     age
	connected bool
}

// linear is what a connection must be like, whoever calls: its current token
// never goes back, and whoever gets one gets none that is older than what
// somebody was given before. Tokens may become newer at any time. A change that
// failed may have been made.
var linear = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{current{}} },
	Step: func(state, input, output any) []any {
		s, in, out := state.(current), input.(call), output.(result)
		after := s
		switch in.what {
		case "reconnect":
			after = current{in.of, true}
		case "disconnect":
			after.connected = false
		}
		switch {
		case out.err == "temporary" && after != s:
			return []any{s, after}
		case out.err == "temporary":
			return []any{s}
		case out.err == "reauthorize":
			if s.connected {
				return nil
			}
			return []any{s}
		case in.what == "reconnect", in.what == "disconnect":
			return []any{after}
		case !s.connected:
			return nil
		case in.what == "refresh":
			return []any{s}
		case out.token.consent != s.token.consent, out.token.before(s.token):
			return nil
		case in.what == "reject" && out.token == in.of && !out.warned:
			return nil
		}
		s.token = out.token
		return []any{s}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}).ToModel()

// What the model lets pass it cannot find.
func TestTheModelOfAConnectionKnowsRightFromWrong(t *testing.T) {
	t.Parallel()
	first, second, other := age{1, 0}, age{1, 1}, age{2, 0}
	connect := func(of age) porcupine.Operation {
		return porcupine.Operation{Input: call{"reconnect", of}, Output: result{}}
	}
	get := func(token age) porcupine.Operation {
		return porcupine.Operation{Input: call{what: "get"}, Output: result{token: token}}
	}
	reject := func(of, token age, warned bool) porcupine.Operation {
		return porcupine.Operation{Input: call{"reject", of}, Output: result{token: token, warned: warned}}
	}
	disconnect := porcupine.Operation{Input: call{what: "disconnect"}, Output: result{}}
	refused := porcupine.Operation{Input: call{what: "get"}, Output: result{err: "reauthorize"}}
	for _, tt := range []struct {
		name  string
		right bool
		calls []porcupine.Operation // one after the other
	}{
		{"a token becomes newer by itself", true, []porcupine.Operation{connect(first), get(first), get(second), get(second)}},
		{"a token becomes older", false, []porcupine.Operation{connect(first), get(second), get(first)}},
		{"a token of the consent before", false, []porcupine.Operation{connect(first), connect(other), get(second)}},
		{"a token after a disconnect", false, []porcupine.Operation{connect(first), disconnect, get(first)}},
		{"a token after a disconnect and a consent", true, []porcupine.Operation{connect(first), disconnect, refused, connect(other), get(other)}},
		{"a refusal while connected", false, []porcupine.Operation{connect(first), refused}},
		{"a rejected token handed out again", false, []porcupine.Operation{connect(first), reject(first, first, false)}},
		{"a rejected token handed out again with a warning", true, []porcupine.Operation{connect(first), reject(first, first, true)}},
	} {
		for i := range tt.calls {
			tt.calls[i].Call, tt.calls[i].Return = int64(2*i), int64(2*i+1)
		}
		if got := porcupine.CheckOperations(linear, tt.calls); got != tt.right {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.right)
		}
	}
}
