package words

// What several reasons have in common.
const (
	logInAgain = "needs its merchant to log in again."
	newLink    = "evergrant link create REF"
	wait       = "wait; evergrant token REF works as long as the token it holds does"
	readLog    = "read the server's log"
	ifWanted   = "evergrant link create REF, if it should be connected again"
	removed    = "access was removed at the provider, or the person who connected has left"
)

// reasons are the reasons and flags of connections and grants.
func reasons() []Entry {
	r := []Kind{Reason}
	return []Entry{
		{Code: "ok", Kinds: r, Is: "works. Nothing to do.", ActBy: "nobody", Next: "evergrant token REF",
			Means: "The connection works and is renewed in time."},
		{Code: "never_connected", Kinds: []Kind{Reason, Problem}, Is: "is not connected yet: its merchant has not authorized.",
			Title: "The business has not authorized yet", ActBy: "merchant", Next: newLink,
			Means: "The connection was made, and nobody has approved it at the provider yet, so there is no token."},
		{Code: "merchant_declined", Kinds: r, Is: "is not connected: its merchant declined.", ActBy: "merchant", Next: newLink,
			Means: "The merchant was asked by the provider and said no. Asking again is possible with a new link."},
		{Code: "provider_unavailable", Kinds: []Kind{Reason, Link}, Is: "is waiting for the provider, which is not answering well. Nothing to do.",
			ActBy: "provider", Next: wait,
			Means: "The provider answered with errors or not at all. It is asked again by itself, less and less often, and recovers by itself."},
		{Code: "rate_limited", Kinds: []Kind{Reason, Problem}, Is: "is waiting because the provider asks for fewer requests. Nothing to do.",
			Title: "The provider's rate limit is reached", ActBy: "provider", Next: wait,
			Means: "The provider asked for fewer requests. Its limit is obeyed, and the request is made again when it may be."},
		{Code: "network", Kinds: r, Is: "is waiting because the provider cannot be reached from here.", ActBy: "provider",
			Next: wait, Cause: "this machine's way to the provider is broken: name resolution, a firewall or a proxy",
			Means: "No connection to the provider could be made. It is tried again by itself."},
		{Code: "answer_lost", Kinds: r, Is: "is being checked: a renewal was sent and its answer never came. Nothing to do.",
			ActBy: "nobody", Next: wait,
			Means: "A renewal was sent and its answer was never seen, so the provider may have replaced the refresh token. It is found out in the way that is safest with this provider."},
		{Code: "app_credentials_rejected", Kinds: r, Is: "waits for us: the provider refuses our client id or secret.", ActBy: "operator",
			Next: "correct apps.APP.client_id or client_secret and restart the server", Cause: "the client secret was changed at the provider",
			Means: "The provider refuses the app itself, for all its businesses. No merchant has to do anything; all recover once the credentials are right."},
		{Code: "app_paused", Kinds: r, Is: "waits for us: the app is paused.", ActBy: "operator",
			Next:  "evergrant app show APP, and evergrant app resume APP when it may go on",
			Means: "Nothing is refreshed for the app, because an operator paused it or because going on could have ended grants. Tokens are served as long as they last."},
		{Code: "store_unavailable", Kinds: r, Is: "waits for us: our store cannot be written.", ActBy: "operator", Next: readLog,
			Means: "The database cannot be read or written. Nothing is refreshed that could not be kept."},
		{Code: "key_unavailable", Kinds: r, Is: "waits for us: the key that seals tokens is not available.", ActBy: "operator", Next: readLog,
			Means: "The tokens cannot be opened, because the master key they were sealed with is not there or not the right one."},
		{Code: "refresh_rejected", Kinds: r, Is: logInAgain, ActBy: "merchant", Next: newLink, Cause: removed,
			Means: "The provider refused the refresh token for good, and was asked twice. If the merchant removed nothing, another program may have renewed the same approval, such as the one it was taken over from: stop that one first."},
		{Code: "revoked", Kinds: r, Is: logInAgain, ActBy: "merchant", Next: newLink, Cause: removed,
			Means: "The approval was taken back at the provider."},
		{Code: "deadline_passed", Kinds: r, Is: logInAgain, ActBy: "merchant", Next: newLink,
			Cause: "nothing renewed it for as long as the provider allows",
			Means: "The refresh token was not used for longer than the provider allows, and has ended."},
		{Code: "rotation_lost", Kinds: r, Is: logInAgain, ActBy: "merchant", Next: newLink,
			Cause: "the provider renewed the token and its answer was lost on the way",
			Means: "The provider replaced the refresh token and the answer with the new one was lost, so that nobody has it."},
		{Code: "scope_missing", Kinds: []Kind{Flag, Link}, ActBy: "merchant", Next: newLink,
			Means: "A permission that the app requires was not given. What needs it does not work; the rest does."},
		{Code: "locations_missing", Kinds: []Kind{Flag}, ActBy: "merchant", Next: "evergrant connection locations REF, then evergrant link create REF --add-grant --location ID",
			Means: "A location that is required is reached by none of the connection's approvals. Somebody who sees it has to approve too, or be given access again."},
		{Code: "disconnected_by_us", Kinds: r, Is: "was disconnected by us.", ActBy: "nobody", Next: ifWanted,
			Means: "The connection was ended here, by a command or the API. Its history stays."},
		{Code: "disconnected_by_merchant", Kinds: r, Is: "was disconnected by its merchant.", ActBy: "nobody", Next: ifWanted,
			Means: "The merchant ended the connection at the provider."},
	}
}
