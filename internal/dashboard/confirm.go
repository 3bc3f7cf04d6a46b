package dashboard

import "net/url"

// confirm is the page between a button and what it does.
type confirm struct {
	Lead           []string
	Action, Button string // where the form goes, a path of ours
	Danger         bool
	Back, Leave    string // where one gets without doing it
}

// providerPath is where an app's deeds are.
func providerPath(app string) string { return "/providers/" + url.PathEscape(app) }
