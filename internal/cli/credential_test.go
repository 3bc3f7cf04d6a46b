package cli

import (
	"strings"
	"testing"
)

// FuzzReadGit holds the reader of git's lines to what it says: values are the
// text after the first = of a line before the first empty one; a line ends in
// \n, \r\n, or with the text.
func FuzzReadGit(f *testing.F) {
	f.Add("protocol=https\nhost=git.example:443\nusername=a=b\n\npassword=x")
	f.Add("capability[]=authtype\ncredential=t\n")
	f.Add("=\n")
	f.Add("no value\n")
	f.Add("host=git.example\r\n\r\nhost=other\r")
	f.Add("host=0\r")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := readGit(strings.NewReader(text))
		if err != nil {
			if a != (gitAsk{}) {
				t.Fatalf("an answer beside the error: %+v", a)
			}
			return
		}
		text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\r")
		head, _, _ := strings.Cut("\n"+text, "\n\n")
		for name, v := range map[string]string{"protocol": a.protocol, "host": a.host, "username": a.username} {
			if v != "" && !strings.Contains(head+"\n", "\n"+name+"="+v+"\n") {
				t.Fatalf("%s is %q, which is no line of the head of %q", name, v, text)
			}
		}
	})
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8422": true, "localhost": true, "localhost:80": true, "[::1]:80": true, "[::1]": true, "::1": true,
		"": false, "git.example": false, "127.0.0.1.example": false, "localhost.example:80": false, "10.0.0.1": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("loopback(%q) = %t", host, got)
		}
	}
}
