package connect

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"html/template"
	"image/png"
	"io"
)

// Logo is a brand's picture, as every page carries it: within the page, so that
// nothing more is asked for and a page stays under 20 kB. The zero Logo is none.
type Logo struct{ url template.URL }

// mostLogo bounds a logo's file, in bytes.
const mostLogo = 6 << 10

// NewLogo makes a logo of an SVG or a PNG file of at most 6 KiB. Browsers run no
// script of a picture and load nothing for it. The error says what is wrong with
// the file.
func NewLogo(file []byte) (Logo, error) {
	if len(file) > mostLogo {
		return Logo{}, errors.New("has more than 6 KiB; make it smaller, or use an SVG")
	}
	kind := "image/svg+xml"
	if bytes.HasPrefix(file, []byte("\x89PNG")) {
		kind = "image/png"
		if _, err := png.DecodeConfig(bytes.NewReader(file)); err != nil {
			return Logo{}, errors.New("is not a PNG that can be read")
		}
	} else if err := checkSVG(file); err != nil {
		return Logo{}, err
	}
	// Base64 and a type of ours: nothing of the file can end the attribute.
	return Logo{template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(file))}, nil
}

// checkSVG reports why a file is not an SVG picture.
func checkSVG(file []byte) error {
	root := ""
	for d := xml.NewDecoder(bytes.NewReader(file)); ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.New("is neither a PNG nor an SVG that can be read")
		}
		if e, ok := t.(xml.StartElement); ok && root == "" {
			root = e.Name.Local
			if e.Name.Space != "http://www.w3.org/2000/svg" {
				return errors.New(`is not an SVG that browsers show: its root needs xmlns="http://www.w3.org/2000/svg"`)
			}
		}
	}
	if root != "svg" {
		return errors.New("is neither a PNG nor an SVG")
	}
	return nil
}
