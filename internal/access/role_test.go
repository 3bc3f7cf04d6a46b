package access_test

import (
	"testing"

	"github.com/evergrant/evergrant/internal/access"
)

func TestEachRoleIncludesTheOneBefore(t *testing.T) {
	t.Parallel()
	const v, s, o = access.Viewer, access.Support, access.Operator
	may := map[access.Role][]access.Role{v: {v}, s: {v, s}, o: {v, s, o}, "": nil, "admin": nil, "Operator": nil}
	for role, includes := range may {
		want := map[access.Role]bool{}
		for _, least := range includes {
			want[least] = true
		}
		for least := range may {
			if got := role.May(least); got != want[least] {
				t.Errorf("%q.May(%q) = %t", role, least, got)
			}
		}
	}
}

func TestRolesAreParsedByTheirNames(t *testing.T) {
	t.Parallel()
	for _, r := range access.Roles() {
		if got, err := access.ParseRole(string(r)); err != nil || got != r {
			t.Errorf("ParseRole(%q) = %q, %v", r, got, err)
		}
	}
	for _, name := range []string{"", "Viewer", "operator ", "admin", "*"} {
		if got, err := access.ParseRole(name); err == nil {
			t.Errorf("ParseRole(%q) = %q", name, got)
		}
	}
}
