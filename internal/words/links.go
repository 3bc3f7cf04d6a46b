package words

// links are what kept a merchant from finishing. provider_unavailable and
// scope_missing are among the reasons.
func links() []Entry {
	l := []Kind{Link}
	return []Entry{
		{Code: "declined", Kinds: l, ActBy: "merchant", Next: "ask the merchant; the link can be used again",
			Means: "The merchant was asked by the provider and said no."},
		{Code: "link_expired", Kinds: l, ActBy: "operator", Next: newLink, Means: "The link is older than it may be."},
		{Code: "link_revoked", Kinds: l, ActBy: "operator", Next: newLink, Means: "The link was taken back, or replaced by a newer one."},
		{Code: "link_unknown", Kinds: l, ActBy: "operator", Next: newLink, Means: "There is no such link; it may have been cut off on its way."},
		{Code: "other_identity", Kinds: l, ActBy: "merchant", Next: "ask the merchant to log in at the provider as the business this is for; the link can be used again",
			Means: "Somebody approved for another business than the one this connection is of. Nothing was stored."},
		{Code: "lost_session", Kinds: l, ActBy: "merchant", Next: "ask the merchant to open the link again and to finish in one browser",
			Means: "The provider sent somebody back whom we had not sent there in this browser, or too long ago."},
		{Code: "code_rejected", Kinds: l, ActBy: "merchant", Next: "ask the merchant to open the link again",
			Means: "The provider took back its own approval code, mostly because it came too late."},
		{Code: "our_fault", Kinds: l, ActBy: "operator", Next: readLog, Means: "Our store could not be written when the merchant came back."},
		{Code: "our_setup", Kinds: l, ActBy: "operator", Next: "evergrant app show APP, and compare client id, secret, scopes and redirect URI with the provider's",
			Means: "The provider refuses the app or what it asks for. The merchant can use the link again once it is set right."},
	}
}

// LinkProgress says how far a link in a state has come, for the people who sent it.
func LinkProgress(state string) string {
	return map[string]string{
		"created": "not opened yet", "opened": "opened, not started", "at_provider": "stopped at the provider's login",
		"completed": "used", "failed": "failed", "expired": "expired without being used", "revoked": "taken back",
	}[state]
}
