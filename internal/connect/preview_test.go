package connect

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPreviewsNeedNoLinkAndLeadNowhere(t *testing.T) {
	t.Parallel()
	k := newKit(t, nil)
	all := k.svc.Previews()
	if len(all) != 20 {
		t.Errorf("%d previews", len(all))
	}
	for _, p := range all {
		for _, l := range Languages() {
			w := httptest.NewRecorder()
			k.svc.ServePreview(w, httptest.NewRequest("GET", "/anywhere?lang="+l.Tag, nil), p.Name, "/style.css")
			body := w.Body.String()
			if w.Code != 200 || w.Header().Get("Content-Language") != l.Tag || !strings.Contains(body, `href="/style.css?`) {
				t.Errorf("%s in %s: %d %v", p.Name, l.Tag, w.Code, w.Header())
			}
			if strings.Contains(body, "/connect/") || strings.Contains(body, "{") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "form-action 'none'") {
				t.Errorf("%s in %s leads somewhere or says too little: %s", p.Name, l.Tag, body)
			}
		}
	}
	w := httptest.NewRecorder()
	if k.svc.ServePreview(w, httptest.NewRequest("GET", "/", nil), "none", ""); w.Code != 404 {
		t.Errorf("what is no page is %d", w.Code)
	}
}
