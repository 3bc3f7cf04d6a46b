package lightspeed

import (
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestOddEntriesAreLeftOutAndTheOthersKept(t *testing.T) {
	p, err := decodeFinancial([]byte(` {"_embedded":{"businessList":[
		{"businessId":null,"businessName":"no id"},
		{"businessId":3.1e14,"businessName":"digits not known"},
		{"businessId":"12-ab","businessName":"  an\tid\u0000 in  text ","businessLocations":[
			{"blID":1},{"blID":""},{"blID":{"x":1}},{"blID":true},{"blID":"<script>"},{"blName":"no id"},{"blID":2,"blName":[1]}]},
		{"businessId":7,"businessLocations":null}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []business{
		{id: "12-ab", name: "an id in text", locations: []location{{id: "1"}, {id: "2"}}},
		{id: "7"},
	}
	if diff := cmp.Diff(want, p.businesses, cmp.AllowUnexported(business{}, location{})); diff != "" {
		t.Errorf("businesses (-want +got):\n%s", diff)
	}
}

// fit checks what holds for everything a decoder lets through.
func fit(t *testing.T, all []business) {
	t.Helper()
	id := func(s string) {
		if s == "" || len(s) > mostID {
			t.Errorf("id %q", s)
		}
		for _, r := range s {
			if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' {
				t.Errorf("id %q", s)
			}
		}
	}
	name := func(s string) {
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > mostName {
			t.Errorf("name %q", s)
		}
		for _, r := range s {
			if !unicode.IsPrint(r) {
				t.Errorf("name %q", s)
			}
		}
	}
	for _, b := range all {
		id(b.id)
		name(b.name)
		for _, l := range b.locations {
			id(l.id)
			name(l.name)
		}
	}
}

func FuzzDecodeFinancial(f *testing.F) {
	f.Add([]byte(harbour))
	f.Add([]byte(`{"_embedded":{"businessList":[{"businessId":"1","businessLocations":[{"blID":-1e5,"blName":"\ud800"}]}]},"_links":{"next":null}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodeFinancial(body)
		if err != nil {
			if len(p.businesses) > 0 {
				t.Error("businesses beside an error")
			}
			return
		}
		if !json.Valid(body) {
			t.Error("accepted what is not JSON")
		}
		fit(t, p.businesses)
	})
}

func FuzzDecodeOrders(f *testing.F) {
	f.Add([]byte(`[{"name":"Café Nord","id":310001000000100,"businessLocations":[{"id":310001000000101,"name":"Nord"}]}]`))
	f.Add([]byte(`[{"id":[1]},null,{"id":"x","businessLocations":[null]}]`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := decodeOrders(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Error("accepted what is not JSON")
		}
		fit(t, all)
	})
}

// An id comes out as the digits it was written with, whatever their number.
func FuzzIDsKeepTheirDigits(f *testing.F) {
	f.Add(uint64(310004455667788))
	f.Add(uint64(9007199254740993))
	f.Fuzz(func(t *testing.T, n uint64) {
		var asNumber, asText scalar
		digits, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if json.Unmarshal(digits, &asNumber) != nil || json.Unmarshal([]byte(`"`+string(digits)+`"`), &asText) != nil {
			t.Fatal("refused")
		}
		if asNumber.id() != string(digits) || asText.id() != string(digits) {
			t.Errorf("%s became %q and %q", digits, asNumber.id(), asText.id())
		}
	})
}
