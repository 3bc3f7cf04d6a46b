package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// clientRequest is what the control API is told about a client; absent fields
// stay as they are.
type clientRequest struct {
	ClientID     string   `json:"client_id"`
	Series       string   `json:"series"` // lightspeed-r or r-series; where the id does not tell
	ClientSecret string   `json:"client_secret"`
	RedirectURIs []string `json:"redirect_uris"`
	Scopes       []string `json:"scopes"`
	Rotation     string   `json:"rotation"`
	Window       string   `json:"window"`
	Public       *bool    `json:"public"`
	Server       string   `json:"server"`
	StoreCap     *int     `json:"store_cap"`
}

// controlClient registers a client or changes one.
func (s *Sandbox) controlClient(_ *http.Request, body []byte) (any, error) {
	var in clientRequest
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setClient(in)
}

// setClient is controlClient for holders of the lock.
func (s *Sandbox) setClient(in clientRequest) (clientView, error) {
	policy, window, err := in.check()
	if err != nil {
		return clientView{}, err
	}
	sr, err := s.seriesOf(in)
	if err != nil {
		return clientView{}, err
	}
	if err := in.fits(sr); err != nil {
		return clientView{}, err
	}
	c := s.w.client(sr, in.ClientID)
	if c == nil {
		return clientView{}, fmt.Errorf("client_id: %q is none of %s", clip(in.ClientID), sr.name)
	}
	if in.ClientSecret != "" {
		c.secret = in.ClientSecret
	}
	if in.RedirectURIs != nil {
		c.redirects = in.RedirectURIs
	}
	if in.Scopes != nil {
		c.scopes = unique(in.Scopes)
	}
	if policy != "" {
		c.rotation, c.window = policy, window
	} else if window > 0 {
		c.window = window
	}
	if in.Public != nil {
		c.public = *in.Public
	}
	if in.Server != "" {
		c.oldServer = in.Server == serverOld
	}
	if in.StoreCap != nil {
		c.storeCap = *in.StoreCap
	}
	return viewClient(c), nil
}

// check names the field that is wrong, whatever the series.
func (in clientRequest) check() (rotation, time.Duration, error) {
	policy := rotation("")
	if in.Rotation != "" {
		var err error
		if policy, err = parseRotation(in.Rotation); err != nil {
			return "", 0, err
		}
	}
	window, err := optionalDuration("window", in.Window)
	if err != nil {
		return "", 0, err
	}
	for i, uri := range in.RedirectURIs {
		if !validRedirect(uri) {
			return "", 0, fmt.Errorf("redirect_uris[%d]: %q is neither https nor http to this machine", i, clip(uri))
		}
	}
	for i, sc := range in.Scopes {
		if sc == "" || strings.ContainsAny(sc, " \t\r\n") {
			return "", 0, fmt.Errorf("scopes[%d]: %q is not one scope", i, clip(sc))
		}
	}
	return policy, window, nil
}

// fits names the field that the series does not have.
func (in clientRequest) fits(sr *series) error {
	registered := sr.redirectRegistered // R-Series
	switch {
	case in.Public != nil && !registered:
		return errors.New("public: only R-Series has clients without a secret")
	case in.Server != "" && !registered:
		return errors.New("server: only R-Series has two")
	case in.Server != "" && in.Server != serverOld && in.Server != serverNew:
		return fmt.Errorf("server: %q is neither old nor new", clip(in.Server))
	case registered && len(in.RedirectURIs) > 1:
		return errors.New("redirect_uris: a client of R-Series has exactly one")
	case in.StoreCap != nil && sr.storeCap == 0:
		return errors.New("store_cap: only X-Series has one")
	case in.StoreCap != nil && *in.StoreCap < 0:
		return errors.New("store_cap: is negative; 0 is any number of stores")
	}
	return nil
}

// seriesOf finds the series of a client: the one named, the one its id tells, or
// the only one that saw it.
func (s *Sandbox) seriesOf(in clientRequest) (*series, error) {
	var seen []*series
	for _, sr := range s.series {
		told := sr.idTells && sr.owns(in.ClientID)
		switch {
		case told && (in.Series == "" || in.Series == sr.family), in.Series == sr.name:
			return sr, nil
		case in.Series != "" && in.Series == sr.family && !sr.idTells:
			return sr, nil
		case in.Series == "" && s.w.clients[clientKey{sr.name, in.ClientID}] != nil:
			seen = append(seen, sr)
		}
	}
	switch {
	case len(seen) == 1:
		return seen[0], nil
	case in.Series == "":
		return nil, fmt.Errorf("client_id: %q does not tell its series, K-Series V2 ids begin with devp-v2- and V1 ids with devp-; name one with series: r-series or x-series", clip(in.ClientID))
	}
	return nil, fmt.Errorf("series: %q has no client %q; there are k-series, r-series and x-series", clip(in.Series), clip(in.ClientID))
}
