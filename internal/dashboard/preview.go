package dashboard

import (
	"net/http"

	"github.com/evergrant/evergrant/internal/access"
	"github.com/evergrant/evergrant/internal/connect"
)

// Previewer shows the pages that merchants see, as [connect.Service] does.
type Previewer interface {
	Previews() []connect.Preview
	ServePreview(w http.ResponseWriter, r *http.Request, name, style string)
	ServePreviewStyle(w http.ResponseWriter, r *http.Request)
}

// previewList is the list of what can be previewed.
type previewList struct {
	Pages     []connect.Preview
	Languages []connect.Language
}

func (d *Dashboard) previews(*visit) answer {
	if d.c.Merchants == nil {
		return d.nowhere(nil)
	}
	return show("previews", "What merchants see", previewList{d.c.Merchants.Previews(), languages()})
}

// previewStyle is the name under which the stylesheet of previews is served.
const previewStyle = "style.css"

// preview serves a page as merchants see it, without our frame: it has its own
// stylesheet and its own headers.
func (d *Dashboard) preview() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guard(w.Header())
		who, ok := d.c.Who(r)
		if !ok {
			d.turnAway(w, r)
			return
		}
		v := &visit{Request: r, who: who}
		switch name := r.PathValue("page"); {
		case !who.Role.May(access.Viewer):
			d.write(w, v, notAllowed(access.Viewer, who.Role))
		case d.c.Merchants == nil:
			d.write(w, v, d.nowhere(v))
		case name == previewStyle:
			d.c.Merchants.ServePreviewStyle(w, r)
		default:
			for _, p := range d.c.Merchants.Previews() {
				if p.Name == name {
					d.c.Merchants.ServePreview(w, r, name, d.c.Prefix+"/settings/preview/"+previewStyle)
					return
				}
			}
			d.write(w, v, d.nowhere(v))
		}
	})
}
