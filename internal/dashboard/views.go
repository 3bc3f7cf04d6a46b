package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed web
var web embed.FS

// views are the pages, each with the layout around it.
type views map[string]*template.Template

// parseViews reads every page of web/. Paths in them are prefixed by the function
// "at".
func parseViews(prefix string) (views, error) {
	files, err := web.ReadDir("web")
	if err != nil {
		return nil, fmt.Errorf("dashboard: read pages: %w", err)
	}
	base, err := template.New("layout.html").Funcs(funcs(prefix)).ParseFS(web, "web/layout.html", "web/parts.html")
	if err != nil {
		return nil, fmt.Errorf("dashboard: read pages: %w", err)
	}
	all := views{}
	for _, f := range files {
		name, isPage := strings.CutSuffix(f.Name(), ".html")
		if !isPage || name == "layout" || name == "parts" {
			continue
		}
		t, err := base.Clone()
		if err == nil {
			t, err = t.ParseFS(web, "web/"+f.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("dashboard: read page %s: %w", name, err)
		}
		all[name] = t
	}
	return all, nil
}

// render writes a page.
func (vs views) render(w io.Writer, name string, f frame) error {
	t := vs[name]
	if t == nil {
		return fmt.Errorf("there is no view %q", name)
	}
	return t.Execute(w, f)
}

// assets are the stylesheet and the script, under addresses that change with what
// is in them.
type assets struct {
	prefix string
	files  map[string]asset
}

type asset struct {
	content []byte
	version string
}

func loadAssets(prefix string) (assets, error) {
	a := assets{prefix, map[string]asset{}}
	for _, name := range []string{"dashboard.css", "dashboard.js"} {
		b, err := web.ReadFile("web/" + name)
		if err != nil {
			return a, fmt.Errorf("dashboard: read %s: %w", name, err)
		}
		sum := sha256.Sum256(b)
		a.files[name] = asset{b, hex.EncodeToString(sum[:6])}
	}
	return a, nil
}

// href is where an asset is.
func (a assets) href(name string) string {
	return a.prefix + "/assets/" + name + "?" + a.files[name].version
}

// serveAsset serves the stylesheet and the script to everybody: the page to log
// in wears them too.
func (d *Dashboard) serveAsset(w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	name := r.PathValue("name")
	f, ok := d.assets.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	kind := "text/css; charset=utf-8"
	if path.Ext(name) == ".js" {
		kind = "text/javascript; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	if r.URL.RawQuery == f.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
