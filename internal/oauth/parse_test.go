package oauth

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/evergrant/evergrant/internal/grant"
	"github.com/evergrant/evergrant/internal/secret"
)

var sentAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// tokensIn is an answer with the given body.
func tokensIn(body string) Answer {
	return Answer{SentAt: sentAt, Sent: true, Complete: true, Status: 200, ContentType: "text/html", Body: []byte(body)}
}

func TestParseToken(t *testing.T) {
	at := func(t Token) Token {
		t.AccessToken = secret.New("a")
		if t.Type == "" {
			t.Type = "Bearer"
		}
		return t
	}
	tests := map[string]struct {
		body string
		want Token
	}{
		"K-Series V2": {`{"access_token":"a","expires_in":1500,"refresh_token":"r","refresh_expires_in":0,"token_type":"Bearer","not-before-policy":0,"scope":"financial-api profile","session_state":"s"}`,
			at(Token{RefreshToken: secret.New("r"), Scope: "financial-api profile", ExpiresIn: 1500 * time.Second,
				Extra: map[string]string{"not-before-policy": "0", "session_state": "s"}})},
		"R-Series' old server": {`{"access_token":"a","expires_in":1800,"token_type":"bearer","scope":"employee:all systemuserid:123456"}`,
			at(Token{Scope: "employee:all systemuserid:123456", ExpiresIn: 30 * time.Minute})},
		"X-Series": {fmt.Sprintf(`{"access_token":"a","token_type":"Bearer","expires":%d,"expires_in":86400,"refresh_token":"r","domain_prefix":"velonord","scope":""}`, sentAt.Unix()+604800),
			at(Token{RefreshToken: secret.New("r"), ExpiresIn: 24 * time.Hour, Extra: map[string]string{"domain_prefix": "velonord"}})},
		"a form":                         {"access_token=a&token_type=bearer&expires_in=60&refresh_token=r%2B1", at(Token{RefreshToken: secret.New("r+1"), ExpiresIn: time.Minute})},
		"a byte order mark and space":    {" \ufeff\r\n{\"access_token\":\"a\"}\n", at(Token{})},
		"rubbish after the object":       {`{"access_token":"a","refresh_token":"r"} Notice: x`, at(Token{RefreshToken: secret.New("r")})},
		"escapes in the token":           {`{"access_token":"\u0061"}`, at(Token{})},
		"a token type in capitals":       {`{"access_token":"a","token_type":"BEARER"}`, at(Token{})},
		"an empty token type":            {`{"access_token":"a","token_type":""}`, at(Token{})},
		"Apigee's token type":            {`{"access_token":"a","token_type":"BearerToken"}`, at(Token{})},
		"a null refresh token is none":   {`{"access_token":"a","refresh_token":null}`, at(Token{})},
		"an empty refresh token is none": {`{"access_token":"a","refresh_token":""}`, at(Token{})},
		"a blank refresh token is none":  {`{"access_token":"a","refresh_token":" \t"}`, at(Token{})},
		"a number is a refresh token":    {`{"access_token":"a","refresh_token":1234567890123456789}`, at(Token{RefreshToken: secret.New("1234567890123456789")})},
		"an odd refresh token is named":  {`{"access_token":"a","refresh_token":["r"]}`, at(Token{Odd: []string{"refresh_token"}})},
		"an id token is kept":            {`{"access_token":"a","id_token":"i"}`, at(Token{IDToken: secret.New("i")})},
		"a scope in an array":            {`{"access_token":"a","scope":["x","y z"]}`, at(Token{Scope: "x y z"})},
		"a scope that is half odd":       {`{"access_token":"a","scope":["x",1]}`, at(Token{Scope: "x", Odd: []string{"scope"}})},
		"a scope with odd characters":    {`{"access_token":"a","scope":"x é"}`, at(Token{Scope: "x", Odd: []string{"scope"}})},
		"a scope that is a number":       {`{"access_token":"a","scope":7}`, at(Token{Odd: []string{"scope"}})},
		"a null scope":                   {`{"access_token":"a","scope":null}`, at(Token{})},
		"the last of two members counts": {`{"access_token":"b","x":1,"x":2,"access_token":"a"}`, at(Token{Odd: []string{"access_token"}, Extra: map[string]string{"x": "2"}})},
		"long numbers keep their digits": {`{"access_token":"a","account":310004455667788990,"ok":true}`, at(Token{Extra: map[string]string{"account": "310004455667788990", "ok": "true"}})},
		"secrets and composites are not extra": {`{"access_token":"a","client_secret":"s","old_Refresh_Token":"o","Password":"p","assertion":"x","account":{"id":1},"list":[1],"jwt":"eyJhbGci","none":null}`,
			at(Token{})},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseToken(tokensIn(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b secret.String) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAStatedEndIsNotAnAbsentLifetime(t *testing.T) {
	for members, want := range map[string]bool{
		`"x":1`:                          false,
		`"expires_in":null`:              false,
		`"expires_in":"soon"`:            false,
		`"expires_in":60`:                false,
		`"expires_in":0`:                 true,
		`"expires_in":"0"`:               true,
		`"expires_in":-5`:                true,
		`"expires_in":-1e999`:            true,
		`"expires_in":0,"expires":1e300`: false,
	} {
		got, err := ParseToken(tokensIn(`{"access_token":"a",` + members + `}`))
		if err != nil || got.Ended != want {
			t.Errorf("%s: ended is %v (%v), want %v", members, got.Ended, err, want)
		}
	}
}

func TestLifetimes(t *testing.T) {
	iso := sentAt.Add(30 * 24 * time.Hour).Format(time.RFC3339)
	tests := map[string]struct {
		members string
		access  time.Duration
		refresh time.Duration
		odd     []string
	}{
		"nothing is told":                         {`"x":1`, 0, 0, nil},
		"an integer":                              {`"expires_in":3600`, time.Hour, 0, nil},
		"a fraction":                              {`"expires_in":3600.5`, time.Hour + 500*time.Millisecond, 0, nil},
		"a string":                                {`"expires_in":" 3600 "`, time.Hour, 0, nil},
		"a fraction in a string":                  {`"expires_in":"3600.5"`, time.Hour + 500*time.Millisecond, 0, nil},
		"an exponent":                             {`"expires_in":3.6e3`, time.Hour, 0, nil},
		"null is absent":                          {`"expires_in":null`, 0, 0, nil},
		"0 makes no sense":                        {`"expires_in":0`, 0, 0, []string{"expires_in"}},
		"negative makes no sense":                 {`"expires_in":-5`, 0, 0, []string{"expires_in"}},
		"hugely negative makes no sense":          {`"expires_in":-1e999`, 0, 0, []string{"expires_in"}},
		"an empty string makes no sense":          {`"expires_in":""`, 0, 0, []string{"expires_in"}},
		"NaN makes no sense":                      {`"expires_in":"NaN"`, 0, 0, []string{"expires_in"}},
		"Infinity makes no sense":                 {`"expires_in":"Infinity"`, 0, 0, []string{"expires_in"}},
		"hex makes no sense":                      {`"expires_in":"0x10"`, 0, 0, []string{"expires_in"}},
		"a word makes no sense":                   {`"expires_in":"soon"`, 0, 0, []string{"expires_in"}},
		"true makes no sense":                     {`"expires_in":true`, 0, 0, []string{"expires_in"}},
		"huge is capped":                          {`"expires_in":99999999999999999999`, grant.MaxLifetime, 0, nil},
		"beyond a float64 is capped":              {`"expires_in":1e999`, grant.MaxLifetime, 0, nil},
		"expires_at as RFC 3339 (Square)":         {`"expires_at":"` + iso + `"`, 30 * 24 * time.Hour, 0, nil},
		"expires_at as seconds":                   {fmt.Sprintf(`"expires_at":%d`, sentAt.Unix()+60), time.Minute, 0, nil},
		"expires_at as seconds in a string":       {fmt.Sprintf(`"expires_at":"%d.5"`, sentAt.Unix()+60), 60500 * time.Millisecond, 0, nil},
		"expires_at as milliseconds":              {fmt.Sprintf(`"expires_at":%d`, sentAt.UnixMilli()+60500), 60500 * time.Millisecond, 0, nil},
		"expires_at in the past":                  {fmt.Sprintf(`"expires_at":%d`, sentAt.Unix()-1), 0, 0, []string{"expires_at"}},
		"expires_at far in the future is capped":  {`"expires_at":1e300`, grant.MaxLifetime, 0, nil},
		"expires_at in the year 9999 is capped":   {`"expires_at":"9999-12-31T23:59:59Z"`, grant.MaxLifetime, 0, nil},
		"expires_at that is a lifetime":           {`"expires_at":3600`, 0, 0, []string{"expires_at"}},
		"expires as a moment (X-Series)":          {fmt.Sprintf(`"expires":%d`, sentAt.Unix()+60), time.Minute, 0, nil},
		"expires as a lifetime":                   {`"expires":5108`, 5108 * time.Second, 0, nil},
		"expires_in goes before expires":          {fmt.Sprintf(`"expires":%d,"expires_in":7`, sentAt.Unix()+60), 7 * time.Second, 0, nil},
		"a senseless expires_in leaves expires":   {fmt.Sprintf(`"expires":%d,"expires_in":0`, sentAt.Unix()+60), time.Minute, 0, []string{"expires_in"}},
		"refresh_expires_in":                      {`"refresh_expires_in":1209600`, 0, 14 * 24 * time.Hour, nil},
		"refresh_expires_in 0 means no countdown": {`"refresh_expires_in":0`, 0, 0, nil},
		"refresh_expires_in negative":             {`"refresh_expires_in":-1`, 0, 0, []string{"refresh_expires_in"}},
		"refresh_token_expires_in":                {`"refresh_token_expires_in":"86400"`, 0, 24 * time.Hour, nil},
		"x_refresh_token_expires_in (QuickBooks)": {`"x_refresh_token_expires_in":8726400`, 0, 101 * 24 * time.Hour, nil},
		"refresh_token_expires_at (Square)":       {`"refresh_token_expires_at":"` + iso + `"`, 0, 30 * 24 * time.Hour, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseToken(tokensIn(`{"access_token":"a",` + tt.members + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if got.ExpiresIn != tt.access || got.RefreshExpiresIn != tt.refresh {
				t.Errorf("got %v and %v, want %v and %v", got.ExpiresIn, got.RefreshExpiresIn, tt.access, tt.refresh)
			}
			if diff := cmp.Diff(tt.odd, got.Odd); diff != "" {
				t.Errorf("odd (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMomentsWithoutAMomentToCountFrom(t *testing.T) {
	a := tokensIn(`{"access_token":"a","expires_at":2000000000}`)
	a.SentAt = time.Time{}
	if got, err := ParseToken(a); err != nil || got.ExpiresIn != 0 {
		t.Errorf("got %v, %v", got.ExpiresIn, err)
	}
	a.ReceivedAt = time.Unix(2000000000-60, 0)
	if got, err := ParseToken(a); err != nil || got.ExpiresIn != time.Minute {
		t.Errorf("got %v, %v", got.ExpiresIn, err)
	}
}

func TestUnusableAccessTokens(t *testing.T) {
	tests := map[string]struct{ body, says string }{
		"nothing":               {"", "neither a JSON object nor a form"},
		"a page":                {"<html>access_token=a</html>", "neither a JSON object nor a form"},
		"a list":                {`[{"access_token":"a"}]`, "neither a JSON object nor a form"},
		"cut JSON":              {`{"access_token":"a","expires_in":`, "not well-formed"},
		"JSON without its end":  {`{"access_token":"a"`, "not well-formed"},
		"none":                  {`{"refresh_token":"r"}`, "no access_token"},
		"null":                  {`{"access_token":null}`, "no access_token"},
		"blank":                 {`{"access_token":" "}`, "no access_token"},
		"an object":             {`{"access_token":{}}`, "no access_token"},
		"a line break inside":   {`{"access_token":"a\r\nX-Evil: 1"}`, "cannot be in a header"},
		"a NUL inside":          {`{"access_token":"a\u0000"}`, "cannot be in a header"},
		"letters beyond ASCII":  {`{"access_token":"é"}`, "cannot be in a header"},
		"longer than 64 KiB":    {`{"access_token":"` + strings.Repeat("a", 64<<10+1) + `"}`, "longer than 64 KiB"},
		"type DPoP":             {`{"access_token":"a","token_type":"DPoP"}`, `token_type "DPoP"`},
		"type mac":              {`{"access_token":"a","token_type":"mac"}`, `token_type "mac"`},
		"a type that is a list": {`{"access_token":"a","token_type":["Bearer"]}`, "token_type is not a string"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseToken(tokensIn(tt.body))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, %v, want an error about %q", got, err, tt.says)
			}
		})
	}
	long := strings.Repeat("a", 64<<10)
	if got, err := ParseToken(tokensIn(`{"access_token":"` + long + `"}`)); err != nil || got.AccessToken.Reveal() != long {
		t.Errorf("64 KiB exactly: %v", err)
	}
}

func TestExtraIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"access_token":"a"`)
	for i := range 100 {
		fmt.Fprintf(&b, `,"m%02d":"%s"`, i, strings.Repeat("v", i*20))
	}
	fmt.Fprintf(&b, `,"%s":1}`, strings.Repeat("n", 65))
	got, err := ParseToken(tokensIn(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Extra) != 26 { // m00 to m25 have at most 512 bytes
		t.Errorf("%d members", len(got.Extra))
	}
	body := `{"access_token":"a"`
	for i := range 100 {
		body += fmt.Sprintf(`,"m%02d":1`, i)
	}
	got, err = ParseToken(tokensIn(body + "}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.Extra["m31"]; len(got.Extra) != 32 || !ok {
		t.Errorf("%d members", len(got.Extra))
	}
}

func TestTokensSurviveEveryEncodingOfTheAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vschar := rapid.StringOfN(rapid.RuneFrom(nil, asciiTable()), 1, 200, -1)
		access := vschar.Filter(func(s string) bool { return strings.TrimSpace(s) != "" }).Draw(t, "access")
		refresh := rapid.StringN(1, 200, -1).Filter(func(s string) bool { return strings.TrimSpace(s) != "" }).Draw(t, "refresh")
		life := rapid.IntRange(1, 1e6).Draw(t, "life")
		form := fmt.Sprintf("access_token=%s&refresh_token=%s&expires_in=%d", escape(access), escape(refresh), life)
		object := fmt.Sprintf(`{"access_token":%s,"refresh_token":%s,"expires_in":%d}`, quote(access), quote(refresh), life)
		for _, body := range []string{form, object} {
			got, err := ParseToken(tokensIn(body))
			if err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if got.AccessToken.Reveal() != access || got.RefreshToken.Reveal() != refresh ||
				got.ExpiresIn != time.Duration(life)*time.Second || len(got.Odd) != 0 {
				t.Fatalf("%s: got %q %q %v %v", body, got.AccessToken.Reveal(), got.RefreshToken.Reveal(), got.ExpiresIn, got.Odd)
			}
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for h, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "1.5": 1500 * time.Millisecond,
		"-1": 0, "soon": 0, "NaN": 0, "7 seconds": 0, "0x10": 0,
		"86400": 24 * time.Hour, "86401": 24 * time.Hour, "99999999999999999999": 24 * time.Hour, "1e999": 24 * time.Hour,
		"Sat, 21 Nov 2026 12:00:30 GMT":    30 * time.Second,
		"Sat, 21 Nov 2026 11:59:30 GMT":    0,
		"Sat, 21 Nov 2099 12:00:00 GMT":    24 * time.Hour,
		"Saturday, 21-Nov-26 12:01:00 GMT": time.Minute,
		"Sat Nov 21 12:02:00 2026":         2 * time.Minute,
		"2026-11-21T12:00:30Z":             0,
	} {
		if got := parseRetryAfter(h, sentAt); got != want {
			t.Errorf("parseRetryAfter(%q) = %v, want %v", h, got, want)
		}
	}
}

func TestAnswersMadeToBeSlowAreRead(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"access_token":"a"`)
	for i := 0; b.Len() < MaxBody-64; i++ {
		fmt.Fprintf(&b, `,"%x":1,"%x":1`, i, i) // each name twice
	}
	b.WriteString("}")
	for name, body := range map[string]string{
		"many repeated members":  b.String(),
		"a number of 1 MB":       `{"access_token":"a","expires_in":` + strings.Repeat("9", MaxBody-64) + `}`,
		"a scope of 1 MB":        `{"access_token":"a","scope":"` + strings.Repeat("s ", MaxBody/2-32) + `"}`,
		"a form of empty fields": "access_token=a" + strings.Repeat("&", MaxBody-64),
	} {
		if _, err := ParseToken(tokensIn(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseToken(tokensIn(strings.Repeat(`{"a":`, MaxBody/5))); err == nil {
		t.Error("nesting without end is accepted")
	}
}

func TestKnownMembersAreListedOnce(t *testing.T) {
	names := known()
	slices.Sort(names)
	if n := len(slices.Compact(slices.Clone(names))); n != len(names) {
		t.Errorf("%v", names)
	}
}
