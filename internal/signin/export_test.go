package signin

// PolicyForTest is the policy that sessions are sealed by.
func PolicyForTest(o *OIDC) string { return o.policy() }

// LocalForTest is where a person is sent who asked for next.
func LocalForTest(next string) string { return local(next) }
