package client

import (
	"context"
	"net/http"
	"time"
)

// NewDashboardLogin says whom a link lets into the dashboard.
type NewDashboardLogin struct {
	Role string `json:"role"`           // viewer, support or operator
	Name string `json:"name,omitempty"` // what they are called there; "": the API key's name
}

// DashboardLogin is a link that lets one person into the dashboard, once.
type DashboardLogin struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// CreateDashboardLogin makes a link into the dashboard. Whoever follows it first
// is let in.
func (c *Client) CreateDashboardLogin(ctx context.Context, n NewDashboardLogin) (DashboardLogin, error) {
	return answer[DashboardLogin](ctx, c, request{op: "create dashboard login", method: http.MethodPost, path: []string{"dashboard", "logins"}, body: n})
}
