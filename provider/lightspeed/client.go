package lightspeed

import (
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/provider"
)

// The prefixes of client ids. They tell the generation and, for V2, the
// environment.
const (
	prefixAny    = "devp-"
	prefixV2     = "devp-v2-"
	prefixV2Prod = "devp-v2-prod-"
	prefixV2Demo = "devp-v2-demo-"
)

// checkClientIDV2 refuses ids of the other generation and of the other
// environment. Ids without Lightspeed's prefix are let through: nobody promised
// that there are none.
func checkClientIDV2(id string, env provider.Environment) error {
	switch {
	case strings.HasPrefix(id, prefixAny) && !strings.HasPrefix(id, prefixV2):
		return fmt.Errorf("ids that begin with %s and not %s are V1 clients; use provider: lightspeed-k-v1", prefixAny, prefixV2)
	case env == provider.Trial && strings.HasPrefix(id, prefixV2Prod):
		return fmt.Errorf("ids that begin with %s are unknown in trial; use environment: production", prefixV2Prod)
	case env == provider.Production && strings.HasPrefix(id, prefixV2Demo):
		return fmt.Errorf("ids that begin with %s are unknown in production; use environment: trial", prefixV2Demo)
	}
	return nil
}

// checkClientIDV1 refuses ids of V2 clients.
func checkClientIDV1(id string, _ provider.Environment) error {
	if strings.HasPrefix(id, prefixV2) {
		return fmt.Errorf("ids that begin with %s are V2 clients; use provider: lightspeed-k", prefixV2)
	}
	return nil
}

// checkScope catches the misspellings that Lightspeed's support sees most. They
// fail only when the first merchant tries to connect.
func checkScope(s string) error {
	right := map[string]string{
		"financial_api":  "financial-api",
		"orders_api":     "orders-api",
		"staff_api":      "staff-api",
		"items-api":      "items",
		"items_api":      "items",
		"offline-access": "offline_access",
	}
	if r, ok := right[s]; ok {
		return fmt.Errorf("there is no scope %q; it is written %q", s, r)
	}
	return nil
}

// permissions says what the scopes allow.
func permissions() map[string]string {
	return map[string]string{
		"orders-api":         "see your menus and floor plans, and place orders and payments",
		"financial-api":      "see your sales",
		"items":              "see and change your items",
		"staff-api":          "see your staff",
		"id-cards":           "use your customers' identification cards",
		"propertymanagement": "connect your hotel system",
		"reservations-api":   "see and make reservations",
	}
}
