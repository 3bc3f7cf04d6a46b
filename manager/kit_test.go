package manager_test

import (
	"net/http"
	"net/http/cookiejar"
	"testing"
)

// jar returns the kit's browser with cookies of its own.
func (k *kit) jar(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: k.browser.Transport, Jar: jar}
}
