package model

// token names a refresh token: the consent it descends from and how many
// rotations it is away from it.
type token struct{ family, gen int8 }

// generations bounds the rotations of one family.
const generations = 8

// family is what the provider knows of one consent.
type family struct {
	current int8
	retired int8 // tokens below this generation are refused, by retire_on_use
	dead    bool
	used    [generations]tick // for the grace kinds: first use, relative to now
	spent   [generations]bool
}

// rotation is the provider's behaviour. It is finer than grant.Rotation: two
// providers with a grace window differ in what a repeated refresh brings.
type rotation int8

const (
	static rotation = iota
	lenient
	graceSame // a repeated refresh brings the same pair; a token two generations old revokes everything
	graceNew  // a repeated refresh brings another pair
	retireOnUse
	strict
	familyKill
)

var rotations = []rotation{static, lenient, graceSame, graceNew, retireOnUse, strict, familyKill}

func (r rotation) String() string {
	return [...]string{"static", "lenient", "grace(same)", "grace(new)", "retire_on_use", "strict", "family_kill"}[r]
}

// recoverable reports whether no fault may ever cost a grant.
func (r rotation) recoverable() bool { return r < strict }

// accepts reports whether the provider would answer the token with tokens.
func (f *family) accepts(r rotation, t token) bool {
	switch {
	case f.dead, t.gen < f.retired:
		return false
	case t.gen == f.current, r == static, r == lenient, r == retireOnUse:
		return true
	case r == graceNew, r == graceSame && t.gen == f.current-1:
		return f.spent[t.gen] && -f.used[t.gen] <= window
	}
	return false
}

// refresh processes a refresh with token t. ok is false for invalid_grant.
func (f *family) refresh(r rotation, t token) (next token, ok bool) {
	if !f.accepts(r, t) {
		if r == familyKill || r == graceSame && t.gen < f.current-1 {
			f.dead = true // reuse detection
		}
		return token{}, false
	}
	if (r == graceSame || r == graceNew) && !f.spent[t.gen] {
		f.spent[t.gen], f.used[t.gen] = true, 0
	}
	if r == retireOnUse {
		f.retired = max(f.retired, t.gen)
	}
	switch {
	case r == static:
		return t, true
	case r == graceSame && t.gen == f.current-1:
		return token{t.family, f.current}, true
	}
	f.current++
	return token{t.family, f.current}, true
}

// use is a call of the API with the access token that came with t.
func (f *family) use(r rotation, t token) {
	if r == retireOnUse {
		f.retired = max(f.retired, t.gen)
	}
}
