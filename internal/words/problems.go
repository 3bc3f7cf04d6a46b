package words

// problems are the codes of errors, and the warnings.
func problems() []Entry {
	p := []Kind{Problem}
	return []Entry{
		{Code: "needs_reauthorization", Kinds: p, Title: "The business must authorize again", ActBy: "merchant", Next: "evergrant why REF, then evergrant link create REF",
			Means: "No approval of the connection lives any more. Its reason says why; only a login of the merchant mends it."},
		{Code: "location_not_covered", Kinds: p, Title: "No grant reaches the location", ActBy: "merchant", Next: "evergrant link create REF --add-grant --location ID",
			Means: "The connection works, and nobody whose approval it has reaches the location that was asked for."},
		{Code: "temporarily_unavailable", Kinds: p, Title: "Temporarily unavailable", ActBy: "nobody", Next: "the same again after Retry-After",
			Means: "There is no token that lives long enough now, or the store or the provider cannot be asked. Time may cure it; act_by and reason say whose turn it is."},
		{Code: "invalid_request", Kinds: p, Title: "The request is not valid", ActBy: "operator", Next: "correct what errors[] names",
			Means: "A field or a parameter is wrong. The same request will fail again."},
		{Code: "unauthorized", Kinds: p, Title: "No valid API key", ActBy: "operator", Next: "set EVERGRANT_API_KEY to a key of this server; evergrant key create NAME makes one",
			Means: "The request carries no API key, or one that is unknown, revoked or expired."},
		{Code: "forbidden", Kinds: p, Title: "The API key may not do this", ActBy: "operator", Next: "evergrant key create NAME --scope SCOPE",
			Means: "The API key is good and lacks the scope for this, or the app's configuration does not allow the request."},
		{Code: "not_found", Kinds: p, Title: "There is no such thing", ActBy: "operator", Next: "evergrant connection list",
			Means: "There is none, or it is not within reach of this API key. The two are not told apart."},
		{Code: "method_not_allowed", Kinds: p, Title: "The method is not allowed here", ActBy: "operator", Next: "use a method of the Allow header",
			Means: "The path exists and does not answer to this method."},
		{Code: "conflict", Kinds: p, Title: "It conflicts with what is there", ActBy: "operator", Next: "read it again and decide anew",
			Means: "It has changed meanwhile, or is there already."},
		{Code: "precondition_failed", Kinds: p, Title: "It has changed since it was read", ActBy: "operator", Next: "read it again and decide anew",
			Means: "The request was to be done only to what If-Match names, and that is not how it is any more. Nothing was done."},
		{Code: "request_too_large", Kinds: p, Title: "The request body is too large", ActBy: "operator", Next: "send less; many connections go through evergrant connection import",
			Means: "A request body may have at most 1 MiB."},
		{Code: "idempotency_key_reused", Kinds: p, Title: "The Idempotency-Key was used for another request", ActBy: "operator", Next: "use a new key for a new request",
			Means: "A request with this Idempotency-Key was answered before, and it was another one."},
		{Code: "internal", Kinds: p, Title: "Something went wrong on our side", ActBy: "operator", Next: "read the server's log; the cause is there under request_id",
			Means: "An error that nobody expected. Callers are not told what it is; the log is."},
		{Code: "rejected_recently", Kinds: []Kind{Warning}, ActBy: "nobody", Next: "use the token; if the API keeps refusing it, evergrant connection verify REF",
			Means: "The token was reported as refused and replaced a moment ago, and is not replaced again so soon. An API that refuses a fresh token has another cause than the token."},
		{Code: "location_disputed", Kinds: []Kind{Warning}, ActBy: "provider", Next: "use the token for its other locations; for this one, evergrant link create REF --add-grant --location ID",
			Means: "The token was reported as not reaching a location, but the provider lists the location for the user who approved it, and no other approval reaches it. Another token of that user would reach no more."},
		{Code: "refreshed_recently", Kinds: []Kind{Warning}, ActBy: "nobody", Next: "use the token there is; ask again after retry_after",
			Means: "A refresh was asked for and not begun, because the last one is too recent: refresh.min_interval or the provider's own limit is not over yet."},
	}
}
