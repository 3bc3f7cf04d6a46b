package why

import (
	"github.com/evergrant/evergrant/client"
)

// stories are logs and what is told of them.
func stories() map[string]storyCase {
	g1, g2 := testID("grant", 1), testID("grant", 2)
	works := cafe("connected", "ok", "10:00:00", anna("connected", "ok"))
	begin := func() *logbook { return new(logbook).login("10:00:00", g1, "Anna P.", 1) }
	needs := func(reason, since string) client.Connection {
		return cafe("needs_reauthorization", reason, since, anna("needs_reauthorization", reason))
	}
	return map[string]storyCase{
		"one that works has been renewed": {
			conn: works,
			log:  begin().renewed("10:24:30", g1, 1).renewed("10:49:00", g1, 2).renewed("14:25:00", g1, 12),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    10:24:30  Renewed 12 times without trouble, the last time at 14:25:00.

Next: evergrant token cafe_nord@k-series
`,
		},
		"renewals the log has forgotten count": {
			conn: works, now: "29 10:00:00",
			log: begin().renewed("28 10:24:30", g1, 412).renewed("28 10:49:00", g1, 413),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (8 days), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    10:00:00  Renewed 413 times without trouble, the last time at 10:49:00 on 28 Nov 2026.

Next: evergrant token cafe_nord@k-series
`,
		},
		"a provider that was down and came back": {
			conn: works,
			log: begin().renewed("13:40:00", g1, 1).
				failed("14:02:11", g1, 1, "unclear", "provider_unavailable", "status=503", "next=14:02:12").
				failed("14:02:14", g1, 2, "unclear", "provider_unavailable", "status=503", "kind=resend").
				failed("14:12:14", g1, 3, "unclear", "provider_unavailable", "status=502", "error=server_error", "kind=resend").
				failed("14:20:31", g1, 4, "throttled", "rate_limited", "status=429").
				renewed("14:20:41", g1, 2),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    13:40:00  Renewed.
    14:02:10  The provider answered with an error of its own instead of new tokens (503, 502,
              server_error) until 14:12:14 (10 minutes): 3 tries.
              (try att_01M80000000000000000000003)
    14:20:30  The provider asked us to come back later (429). At 14:20:41 it was renewed.
              (try att_01M80000000000000000000004)

Next: evergrant token cafe_nord@k-series
`,
		},
		"a provider that is down": {
			conn: cafe("degraded", "provider_unavailable", "14:39:00",
				anna("degraded", "provider_unavailable", func(g *client.Grant) { g.NextTryAt = moment21("14:40:08") })),
			log: begin().
				failed("14:39:00", g1, 1, "not_sent", "network", "description=127.0.0.1: connection refused").
				failed("14:39:02", g1, 2, "not_sent", "network", "description=127.0.0.1: connection refused"),
			want: `
Café Nord (cafe_nord@k-series) is waiting for the provider, which is not answering well. Nothing to do.
  since     21 Nov 2026 14:39:00 +01:00 (1 minute), reason provider_unavailable
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:38:59  The request could not be sent (127.0.0.1: connection refused) until 14:39:02 (3
              seconds): 2 tries. The next try is at 14:40:08 (in 8 seconds). The token in hand works
              until 15:00:00. (try att_01M80000000000000000000002)

Next: wait; evergrant token cafe_nord@k-series works as long as the token it holds does
`,
		},
		"a lost answer, asked for again where that is allowed": {
			conn: works,
			log: begin().renewed("14:06:00", g1, 1).
				failed("14:31:07", g1, 1, "lost", "answer_lost", "next=14:31:08").
				renewed("14:31:09", g1, 2),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:06:00  Renewed.
    14:31:06  We asked for new tokens and the answer never came back: nobody can know whether the
              provider had given them out. We asked once more at 14:31:09 with the same token and
              got new ones: nothing was lost. (try att_01M80000000000000000000001)

Next: evergrant token cafe_nord@k-series
`,
		},
		"a lost answer that is not settled yet": {
			conn: cafe("degraded", "answer_lost", "14:31:17", anna("degraded", "answer_lost", func(g *client.Grant) {
				g.OpenAttempt = &client.OpenAttempt{ID: testID("att", 1), Kind: "refresh", OpenedAt: moment21("14:31:07"), BarrierAt: moment21("14:59:56")}
			})),
			log: begin().failed("14:31:17", g1, 1, "lost", "answer_lost", "duration_ms=10000", "next=14:59:56"),
			want: `
Café Nord (cafe_nord@k-series) is being checked: a renewal was sent and its answer never came. Nothing to do.
  since     21 Nov 2026 14:31:17 +01:00 (8 minutes), reason answer_lost
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:31:07  We asked for new tokens and the answer never came back: nobody can know whether the
              provider had given them out. We ask once more with the same token at 14:59:56 (in 19
              minutes). The token in hand works until 15:00:00. (try att_01M80000000000000000000001)

Next: wait; evergrant token cafe_nord@k-series works as long as the token it holds does
`,
		},
		"a lost answer under a strict provider": {
			conn: needs("rotation_lost", "14:31:27"),
			log: begin().renewed("14:06:00", g1, 1).
				failed("14:31:17", g1, 1, "lost", "answer_lost", "duration_ms=10000", "next=14:31:27").
				failed("14:31:28", g1, 2, "refused", "rotation_lost", "kind=resend", "final=true", refusedWords, inactive),
			link: &client.Link{State: "opened", CreatedAt: moment21("14:35:00")},
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     21 Nov 2026 14:31:27 +01:00 (8 minutes), reason rotation_lost
  evidence  21 Nov 2026 14:31:07 +01:00 asked, and no answer came back
            (try att_01M80000000000000000000001)
            21 Nov 2026 14:31:28 +01:00 refused (invalid_grant, "Token is not active")
            (try att_01M80000000000000000000002)
  probably  the provider renewed the token and its answer was lost on the way
  link      made on 21 Nov 2026 14:35:00 +01:00, opened, not started

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:06:00  Renewed.
    14:31:07  We asked for new tokens and the answer never came back: nobody can know whether the
              provider had given them out. We asked once more at 14:31:28 with the same token and it
              was refused (invalid_grant, "Token is not active"), so the provider had given out new
              ones and that answer is gone. The approval has ended.
              (try att_01M80000000000000000000002)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"a process that died with the answer under a strict provider": {
			conn: needs("rotation_lost", "14:31:28"),
			log: begin().
				failed("14:31:28", g1, 2, "refused", "rotation_lost", "kind=resend", "final=true", "repeats=att_01M80000000000000000000001", refusedWords),
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     21 Nov 2026 14:31:28 +01:00 (8 minutes), reason rotation_lost
  evidence  21 Nov 2026 14:31:28 +01:00 refused (invalid_grant) (try att_01M80000000000000000000002)
  probably  the provider renewed the token and its answer was lost on the way

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:31:27  The try before (att_01M80000000000000000000001) was cut off: this server stopped, or
              stood still, before its answer was kept. We asked once more with the same token and it
              was refused (invalid_grant), so the provider had given out new ones and that answer is
              gone. The approval has ended. (try att_01M80000000000000000000002)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"a lost answer, trouble, and two refusals": {
			conn: needs("rotation_lost", "14:32:30"),
			log: begin().
				failed("14:31:17", g1, 1, "lost", "answer_lost", "duration_ms=10000").
				failed("14:31:37", g1, 2, "unclear", "provider_unavailable", "kind=resend", "status=500").
				failed("14:32:17", g1, 3, "refused", "refresh_rejected", "kind=resend", refusedWords).
				failed("14:32:30", g1, 4, "refused", "rotation_lost", "kind=resend", "final=true", refusedWords),
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     21 Nov 2026 14:32:30 +01:00 (7 minutes), reason rotation_lost
  evidence  21 Nov 2026 14:31:07 +01:00 asked, and no answer came back
            (try att_01M80000000000000000000001)
            21 Nov 2026 14:32:17 +01:00 refused (invalid_grant) (try att_01M80000000000000000000003)
            21 Nov 2026 14:32:30 +01:00 refused (invalid_grant) (try att_01M80000000000000000000004)
  probably  the provider renewed the token and its answer was lost on the way

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:31:07  We asked for new tokens and the answer never came back: nobody can know whether the
              provider had given them out. (try att_01M80000000000000000000001)
    14:31:36  The provider answered with an error of its own instead of new tokens (500).
              (try att_01M80000000000000000000002)
    14:32:16  We asked once more and again at 14:32:30 with the same token and it was refused
              (invalid_grant), so the provider had given out new ones and that answer is gone. The
              approval has ended. (try att_01M80000000000000000000004)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"refused twice": {
			conn: needs("refresh_rejected", "14:02:20"),
			log: begin().renewed("13:37:00", g1, 1).
				failed("14:02:10", g1, 1, "refused", "refresh_rejected", refusedWords, inactive, "next=14:02:20").
				failed("14:02:20", g1, 2, "refused", "refresh_rejected", "final=true", refusedWords, inactive),
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     21 Nov 2026 14:02:20 +01:00 (37 minutes), reason refresh_rejected
  evidence  21 Nov 2026 14:02:10 +01:00 refused (invalid_grant, "Token is not active")
            (try att_01M80000000000000000000001)
            21 Nov 2026 14:02:20 +01:00 refused (invalid_grant, "Token is not active")
            (try att_01M80000000000000000000002)
  probably  access was removed at the provider, or the person who connected has left

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    13:37:00  Renewed.
    14:02:09  The provider refused to renew (invalid_grant, "Token is not active"), and again at
              14:02:20. One refusal would prove nothing; two do: the approval has ended.
              (try att_01M80000000000000000000002)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"refused though nothing had ended": {
			conn: needs("refresh_rejected", "14:02:20"),
			log: begin().renewed("13:37:00", g1, 1).
				failed("14:02:10", g1, 1, "refused", "refresh_rejected", refusedWords, "next=14:02:20").
				failed("14:02:20", g1, 2, "refused", "refresh_rejected", "final=true", "suspect=used_elsewhere", refusedWords),
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     21 Nov 2026 14:02:20 +01:00 (37 minutes), reason refresh_rejected
  evidence  21 Nov 2026 14:02:10 +01:00 refused (invalid_grant) (try att_01M80000000000000000000001)
            21 Nov 2026 14:02:20 +01:00 refused (invalid_grant) (try att_01M80000000000000000000002)
  probably  access was removed at the provider, or the person who connected has left, or another
            program renewed the same approval

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    13:37:00  Renewed.
    14:02:09  The provider refused to renew (invalid_grant), and again at 14:02:20. One refusal
              would prove nothing; two do: the approval has ended. It was refused the first time we
              used it, and too young to end by itself: unless access was removed at the provider,
              another program has used it. (try att_01M80000000000000000000002)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"handed over, and refused the first time": {
			conn: cafe("needs_reauthorization", "refresh_rejected", "14:02:20", anna("needs_reauthorization", "refresh_rejected", func(g *client.Grant) { g.Seq = 0 })),
			log: new(logbook).add("14:02:05", "grant.issued", "ok", g1, map[string]any{"source": "adopted", "epoch": 1}).
				failed("14:02:10", g1, 1, "refused", "refresh_rejected", refusedWords, "next=14:02:20").
				failed("14:02:20", g1, 2, "refused", "refresh_rejected", "final=true", "suspect=used_elsewhere", refusedWords),
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     21 Nov 2026 14:02:20 +01:00 (37 minutes), reason refresh_rejected
  evidence  21 Nov 2026 14:02:10 +01:00 refused (invalid_grant) (try att_01M80000000000000000000001)
            21 Nov 2026 14:02:20 +01:00 refused (invalid_grant) (try att_01M80000000000000000000002)
  probably  the program it was taken over from renewed it, before that or since; stop that program
            before the merchant logs in again

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    14:02:05  Connected with tokens that were handed over, approved by Anna P.
    14:02:09  The provider refused to renew (invalid_grant), and again at 14:02:20. One refusal
              would prove nothing; two do: the approval has ended. It was refused the first time we
              used it, and too young to end by itself: unless access was removed at the provider,
              another program has used it. (try att_01M80000000000000000000002)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"refused once by mistake": {
			conn: works,
			log: begin().
				failed("14:02:10", g1, 1, "refused", "refresh_rejected", refusedWords, "next=14:02:20").
				renewed("14:02:20", g1, 1),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:02:09  The provider refused to renew (invalid_grant). One refusal proves nothing. Asked once
              more at 14:02:20, it renewed. (try att_01M80000000000000000000001)

Next: evergrant token cafe_nord@k-series
`,
		},
		"a wrong client secret is the app's story": {
			conn: works,
			log: begin().renewed("13:40:00", g1, 1).
				failed("14:04:30", g1, 1, "misconfigured", "app_credentials_rejected", "error=invalid_client").
				add("14:04:30", "app.credentials_rejected", "app_credentials_rejected", "", map[string]any{"error": "invalid_client"}).
				renewed("14:21:00", g1, 2).
				add("14:21:00", "app.credentials_accepted", "ok", "", nil),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    13:40:00  Renewed.
    14:04:30  The provider refused our client id or secret (invalid_client) until 14:21:00 (16
              minutes). Every business of the app waited.
    14:21:00  Renewed.

Next: evergrant token cafe_nord@k-series
`,
		},
		"a wrong client secret now": {
			conn: func() client.Connection {
				c := cafe("degraded", "app_credentials_rejected", "14:04:30", anna("degraded", "app_credentials_rejected"))
				c.ActBy = "operator"
				return c
			}(),
			app: client.App{Reason: "app_credentials_rejected", Since: moment21("14:04:30")},
			log: begin().
				add("14:04:30", "app.credentials_rejected", "app_credentials_rejected", "", map[string]any{"error": "invalid_client"}),
			want: `
Café Nord (cafe_nord@k-series) waits for us: the provider refuses our client id or secret.
  since     21 Nov 2026 14:04:30 +01:00 (35 minutes), reason app_credentials_rejected
  probably  the client secret was changed at the provider
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:04:30  The provider refuses our client id or secret (invalid_client). Every business of the
              app waits.

Next: correct apps.k-series.client_id or client_secret and restart the server
`,
		},
		"tokens that are over when they come": {
			conn: works,
			log: begin().renewed("14:25:00", g1, 1).
				add("14:25:00", "app.tokens_expired", "", "", map[string]any{"grant": g1, "expires_in": 1}).
				renewed("14:25:05", g1, 2),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:25:00  The provider answered a renewal with a token that was over when it came, or seconds
              later. Whoever asks for one has to wait while that goes on.
    14:25:00  Renewed 2 times without trouble, the last time at 14:25:05.

Next: evergrant token cafe_nord@k-series
`,
		},
		"a pause by us, which a renewal that was under way does not end": {
			conn: works,
			log: begin().
				add("14:04:30", "app.paused", "app_paused", "", map[string]any{"cause": "operator"}).
				renewed("14:04:31", g1, 1).
				add("14:10:00", "app.credentials_rejected", "app_credentials_rejected", "", map[string]any{"error": "invalid_client"}).
				add("14:21:00", "app.resumed", "ok", "", map[string]any{"cause": "operator"}).
				renewed("14:22:00", g1, 2),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:04:30  Renewals of the whole app were stopped by us until 14:21:00 (16 minutes).
    14:04:31  Renewed.
    14:10:00  The provider refused our client id or secret (invalid_client) until 14:22:00 (12
              minutes). Every business of the app waited.
    14:22:00  Renewed.

Next: evergrant token cafe_nord@k-series
`,
		},
		"a database that was restored": {
			conn: func() client.Connection {
				c := cafe("degraded", "app_paused", "14:04:30", anna("degraded", "app_paused"))
				c.ActBy = "operator"
				return c
			}(),
			app: client.App{Reason: "app_paused", PausedBecause: "restore", Since: moment21("14:04:30")},
			log: begin().
				add("14:04:30", "app.paused", "app_paused", "", map[string]any{"cause": "restore"}),
			want: `
Café Nord (cafe_nord@k-series) waits for us: the app is paused.
  since     21 Nov 2026 14:04:30 +01:00 (35 minutes), reason app_paused
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:04:30  Renewals of the whole app are stopped: the database was restored, and the tokens in it
              may have been used already. Somebody of us has to decide.

Next: evergrant app show k-series, and evergrant app resume k-series when it may go on
`,
		},
		"refusals of too many at once": {
			conn: works,
			log: begin().
				failed("14:04:20", g1, 1, "refused", "refresh_rejected", refusedWords).
				add("14:04:30", "app.paused", "app_paused", "", map[string]any{"cause": "refusals"}).
				failed("14:04:40", g1, 2, "refused", "refresh_rejected", refusedWords).
				renewed("14:14:00", g1, 1).
				add("14:14:00", "app.resumed", "ok", "", map[string]any{"cause": "refusals"}),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:04:19  The provider refused to renew (invalid_grant), and again at 14:04:40. That is no proof
              yet. Asked once more at 14:14:00, it renewed. (try att_01M80000000000000000000002)
    14:04:30  The provider refused so many businesses at once that it was not believed until
              14:14:00 (9 minutes). Every business of the app waited.

Next: evergrant token cafe_nord@k-series
`,
		},
		"an answer restored from the journal": {
			conn: works,
			log: begin().
				add("14:31:40", "grant.refreshed", "ok", g1, map[string]any{"attempt": testID("att", 1), "seq": 1, "recovered": "journal"}).
				renewed("14:35:00", g1, 2),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:31:40  New tokens had come and could not be stored: our database could not be written, or
              this server stopped at that moment. They had been kept in the journal and were stored
              now. Nothing was lost. (try att_01M80000000000000000000001)
    14:35:00  Renewed.

Next: evergrant token cafe_nord@k-series
`,
		},
		"a parked answer that saved a grant": {
			conn: works,
			log: begin().
				failed("14:02:10", g1, 1, "refused", "refresh_rejected", refusedWords).
				add("14:02:20", "grant.refreshed", "ok", g1, map[string]any{"attempt": testID("att", 7), "seq": 1, "recovered": "parked answer"}),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:02:09  The provider refused to renew (invalid_grant). One refusal proves nothing.
              (try att_01M80000000000000000000001)
    14:02:20  The provider refused again. Before the approval was given up, new tokens that had come
              too late and been kept aside were put in place. (try att_01M80000000000000000000007)

Next: evergrant token cafe_nord@k-series
`,
		},
		"a late answer after another login": {
			conn: cafe("connected", "ok", "14:33:00", anna("connected", "ok", func(g *client.Grant) {
				g.Epoch, g.Seq, g.ConsentAt, g.Identity.Name = 2, 0, moment21("14:33:00"), "Ben K."
			})),
			log: begin().
				failed("14:31:17", g1, 1, "lost", "answer_lost", "duration_ms=10000").
				login("14:33:00", g1, "Ben K.", 2),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 14:33:00 +01:00 (7 minutes), reason ok
  token     approved by Ben K., not renewed yet, good until 21 Nov 2026 15:00:00 +01:00

What happened to Ben K.'s approval of 21 Nov 2026 14:33:00 +01:00 (grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:31:07  We asked for new tokens and the answer never came back: nobody can know whether the
              provider had given them out. (try att_01M80000000000000000000001)
    14:33:00  Connected again, approved by Ben K. An answer that still came to the try before is
              kept aside and not used.

Next: evergrant token cafe_nord@k-series
`,
		},
		"disconnected": {
			conn: cafe("disconnected", "disconnected_by_us", "14:00:00", anna("disconnected", "disconnected_by_us")),
			log: begin().renewed("13:40:00", g1, 1).
				add("14:00:00", "connection.disconnected", "disconnected_by_us", g1, nil).
				add("14:00:01", "grant.revoked", "disconnected_by_us", g1, map[string]any{"at_provider": false, "error": "the provider has no revocation endpoint"}),
			want: `
Café Nord (cafe_nord@k-series) was disconnected by us.
  since     21 Nov 2026 14:00:00 +01:00 (40 minutes), reason disconnected_by_us

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    13:40:00  Renewed.
    14:00:00  Disconnected by us.
    14:00:01  The provider could not be told to end its tokens (the provider has no revocation
              endpoint).

Next: evergrant link create cafe_nord@k-series, if it should be connected again
`,
		},
		"never connected": {
			conn: cafe("pending", "merchant_declined", "09:12:00"),
			log: new(logbook).
				add("09:05:00", "link.created", "", "", map[string]any{"link": "link_1"}).
				add("09:10:00", "link.opened", "", "", map[string]any{"link": "link_1"}).
				add("09:11:00", "authorization.started", "", "", map[string]any{"link": "link_1"}).
				add("09:12:00", "link.failed", "merchant_declined", "", map[string]any{"link": "link_1", "problem": "declined"}).
				add("09:20:00", "link.created", "", "", map[string]any{"link": "link_2"}),
			link: &client.Link{State: "created", CreatedAt: moment21("09:20:00")},
			want: `
Café Nord (cafe_nord@k-series) is not connected: its merchant declined.
  since     21 Nov 2026 09:12:00 +01:00 (5 hours), reason merchant_declined
  link      made on 21 Nov 2026 09:20:00 +01:00, not opened yet

What happened
  21 Nov 2026, +01:00
    09:05:00  A link was made for the merchant, and opened at 09:10:00; the provider's login was
              reached at 09:11:00. The login ended at 09:12:00: the merchant said no.
    09:20:00  A link was made for the merchant.

Next: evergrant link create cafe_nord@k-series
`,
		},
		"no refresh token, and the deadline passed": {
			conn: needs("deadline_passed", "11:00:00"),
			log: begin().
				failed("10:59:00", g1, 1, "not_sent", "ok", "description=there is no refresh token", "next=11:00:00").
				failed("11:00:00", g1, 2, "not_sent", "deadline_passed", "final=true", "description=there is no refresh token"),
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     21 Nov 2026 11:00:00 +01:00 (3 hours), reason deadline_passed
  evidence  21 Nov 2026 11:00:00 +01:00 there was nothing to renew it with
            (try att_01M80000000000000000000002)
  probably  the app lacks the permission to renew, often a scope named offline_access

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    10:58:59  There is nothing to renew with: the provider gave only an access token. It works until
              it ends. (try att_01M80000000000000000000001)
    10:59:59  The access token has ended, and the provider had never given one to renew it with:
              only a new login helps. (try att_01M80000000000000000000002)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"the deadline passed while nothing renewed it": {
			conn: needs("deadline_passed", "27 14:02:20"), now: "27 15:00:00",
			log: begin().
				failed("27 14:02:10", g1, 1, "refused", "refresh_rejected", refusedWords, inactive).
				failed("27 14:02:20", g1, 2, "refused", "deadline_passed", "final=true", refusedWords, inactive),
			want: `
Café Nord (cafe_nord@k-series) needs its merchant to log in again.
  since     27 Nov 2026 14:02:20 +01:00 (57 minutes), reason deadline_passed
  evidence  27 Nov 2026 14:02:10 +01:00 refused (invalid_grant, "Token is not active")
            (try att_01M80000000000000000000001)
            27 Nov 2026 14:02:20 +01:00 refused (invalid_grant, "Token is not active")
            (try att_01M80000000000000000000002)
  probably  nothing renewed it for as long as the provider allows

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
  27 Nov 2026, +01:00
    14:02:09  The provider refused to renew (invalid_grant, "Token is not active"), and again at
              14:02:20. The time within which the provider wants a token renewed had passed. The
              approval has ended. (try att_01M80000000000000000000002)

Next: evergrant link create cafe_nord@k-series
`,
		},
		"two approvals, one of them ended": {
			conn: cafe("connected", "ok", "10:00:00", anna("connected", "ok"), client.Grant{
				ID: g2, State: "needs_reauthorization", Reason: "refresh_rejected", Identity: client.Identity{Name: "Ben K."}, Epoch: 1,
				ConsentAt: moment21("10:30:00"), Since: moment21("14:02:20"),
			}),
			log: begin().login("10:30:00", g2, "Ben K.", 1).renewed("13:40:00", g1, 1).
				failed("14:02:10", g2, 1, "refused", "refresh_rejected", refusedWords).
				failed("14:02:20", g2, 2, "refused", "refresh_rejected", "final=true", refusedWords).
				add("14:03:00", "connection.locations_changed", "", g1, map[string]any{"added": []string{"1"}, "lost": []string{}}),
			want: `
Café Nord (cafe_nord@k-series) works, but 1 of its 2 approvals ended.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  ended     Ben K.'s approval on 21 Nov 2026 14:02:20 +01:00 (37 minutes), reason refresh_rejected;
            what only this approval reached is out of reach (grant_01M80000000000000000000002)
  evidence  21 Nov 2026 14:02:10 +01:00 refused (invalid_grant) (try att_01M80000000000000000000001)
            21 Nov 2026 14:02:20 +01:00 refused (invalid_grant) (try att_01M80000000000000000000002)
  probably  access was removed at the provider, or the person who connected has left
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    13:40:00  Renewed.

What happened to Ben K.'s approval of 21 Nov 2026 10:30:00 +01:00 (grant_01M80000000000000000000002)
  21 Nov 2026, +01:00
    10:30:00  Connected, approved by Ben K.
    14:02:09  The provider refused to renew (invalid_grant), and again at 14:02:20. One refusal
              would prove nothing; two do: the approval has ended.
              (try att_01M80000000000000000000002)

What happened to all of it
  21 Nov 2026, +01:00
    14:03:00  The places it reaches changed: 1 more, 0 fewer.

Next: evergrant link create cafe_nord@k-series, for Ben K. to log in again
`,
		},
		"a renewal that is under way": {
			conn: cafe("connected", "ok", "10:00:00", anna("connected", "ok", func(g *client.Grant) {
				g.OpenAttempt = &client.OpenAttempt{ID: testID("att", 5), Kind: "refresh", OpenedAt: moment21("14:39:58"), BarrierAt: moment21("14:40:18")}
			})),
			log: begin().renewed("14:15:00", g1, 1),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  21 Nov 2026, +01:00
    10:00:00  Connected, approved by Anna P.
    14:15:00  Renewed.
    14:39:58  A renewal was begun, and no answer is here yet. If none comes, that is settled at
              14:40:18. (try att_01M80000000000000000000005)

Next: evergrant token cafe_nord@k-series
`,
		},
		"a long story is cut": {
			conn: works, now: "25 15:00:00", cut: true,
			log: func() *logbook {
				l := begin()
				for day, seq := 21, 1; day < 26; day++ {
					for _, hour := range []string{"12", "13", "14"} {
						at := string([]byte{byte('0' + day/10), byte('0' + day%10)}) + " " + hour
						l.renewed(at+":00:00", g1, seq)
						l.failed(at+":25:00", g1, 2, "unclear", "provider_unavailable", "status=500").renewed(at+":26:00", g1, seq+1)
						seq += 2
					}
				}
				return l
			}(),
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 days), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00

What happened to Anna P.'s approval of 21 Nov 2026 10:00:00 +01:00
(grant_01M80000000000000000000001)
  Earlier, from 21 Nov 2026 10:00:00 +01:00 to 23 Nov 2026 14:26:00 +01:00: 1 login, 9 renewals and
  9 times of trouble with the provider.
  The log goes back further: evergrant event list --ref cafe_nord@k-series
  24 Nov 2026, +01:00
    12:00:00  Renewed.
    12:24:59  The provider answered with an error of its own instead of new tokens (500). At
              12:26:00 it was renewed. (try att_01M80000000000000000000002)
    13:00:00  Renewed.
    13:24:59  The provider answered with an error of its own instead of new tokens (500). At
              13:26:00 it was renewed. (try att_01M80000000000000000000002)
    14:00:00  Renewed.
    14:24:59  The provider answered with an error of its own instead of new tokens (500). At
              14:26:00 it was renewed. (try att_01M80000000000000000000002)
  25 Nov 2026, +01:00
    12:00:00  Renewed.
    12:24:59  The provider answered with an error of its own instead of new tokens (500). At
              12:26:00 it was renewed. (try att_01M80000000000000000000002)
    13:00:00  Renewed.
    13:24:59  The provider answered with an error of its own instead of new tokens (500). At
              13:26:00 it was renewed. (try att_01M80000000000000000000002)
    14:00:00  Renewed.
    14:24:59  The provider answered with an error of its own instead of new tokens (500). At
              14:26:00 it was renewed. (try att_01M80000000000000000000002)

Next: evergrant token cafe_nord@k-series
`,
		},
		"nothing is known of the log": {
			conn: works,
			want: `
Café Nord (cafe_nord@k-series) works. Nothing to do.
  since     21 Nov 2026 10:00:00 +01:00 (4 hours), reason ok
  token     approved by Anna P., renewed 12 times, good until 21 Nov 2026 15:00:00 +01:00
Next: evergrant token cafe_nord@k-series
`,
		},
	}
}
