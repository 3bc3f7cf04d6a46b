package sandbox

// User is somebody who can log in and approve an app. A token reaches what its
// user sees at the moment of the call, not of the approval.
type User struct {
	Email      string     `json:"email"`
	Password   string     `json:"password"`
	Name       string     `json:"name"`
	Businesses []Business `json:"businesses"`         // K-Series
	Account    *Account   `json:"account,omitempty"`  // R-Series; nil cannot log in there
	Retailer   *Retailer  `json:"retailer,omitempty"` // X-Series; nil cannot log in there
	// Locked: the user cannot log in, and no token the user approved works until the
	// lock is taken off.
	Locked bool `json:"locked,omitempty"`
}

// Business is a company with the locations of it that one user sees.
type Business struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name"`
	Currency  string     `json:"currency"` // ISO 4217
	Locations []Location `json:"locations"`
}

// Location is a place that serves and sells.
type Location struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Country  string `json:"country"`  // ISO 3166-1 alpha-2
	Timezone string `json:"timezone"` // IANA
}

// demoPassword is every demo user's.
const demoPassword = "sandbox"

// groundhogLocation is where the sales page answers the same nextPageToken for
// ever, as the vendor's documentation server does.
const groundhogLocation int64 = 310009900000902

// DemoUsers returns the users every sandbox begins with, always the same. The
// password of each is "sandbox".
func DemoUsers() []User {
	quay := Location{310004455667789, "Quay Bar", "BE", "Europe/Brussels"}
	lighthouse := Location{310004455667790, "Lighthouse Kitchen", "BE", "Europe/Brussels"}
	pier := Location{310004455667791, "Pier Café", "NL", "Europe/Amsterdam"}
	harbour := func(seen ...Location) Business {
		return Business{310004455667788, "Harbour Group", "EUR", seen}
	}
	return append([]User{
		demoUser("anna@cafe-nord.example", "Anna Peeters",
			single(310001000000100, "Café Nord", "EUR", "BE", "Europe/Brussels")),
		demoUser("olivia@harbour-group.example", "Olivia Janssens", harbour(quay, lighthouse, pier)),
		demoUser("marc@harbour-group.example", "Marc Dubois", harbour(quay)),
		demoUser("lena@harbour-group.example", "Lena Visser", harbour(lighthouse, pier)),
		demoUser("tess@cafe-twins.example", "Tess de Vries", // two businesses, one login
			single(310002000000200, "Café Twins East", "EUR", "NL", "Europe/Amsterdam"),
			single(310002000000300, "Café Twins West", "EUR", "NL", "Europe/Amsterdam")),
		demoUser("bruno@bistro-soleil.example", "Bruno Martin",
			single(310003000000100, "Bistro Soleil", "EUR", "FR", "Europe/Paris")),
		demoUser("greta@kaffeehaus.example", "Greta Huber",
			single(310003000000200, "Kaffeehaus Greta", "EUR", "DE", "Europe/Berlin")),
		demoUser("ivo@tapas-ivo.example", "Ivo García",
			single(310003000000300, "Tapas Ivo", "EUR", "ES", "Europe/Madrid")),
		demoUser("paola@trattoria-paola.example", "Paola Ricci",
			single(310003000000400, "Trattoria Paola", "EUR", "IT", "Europe/Rome")),
		demoUser("finn@fjord-kitchen.example", "Finn Larsen",
			single(310003000000500, "Fjord Kitchen", "NOK", "NO", "Europe/Oslo")),
		demoUser("mia@corner-roastery.example", "Mia Thompson", Business{310003000000600, "Corner Roastery", "GBP", []Location{
			{310003000000601, "Corner Roastery Soho", "GB", "Europe/London"},
			{310003000000602, "Corner Roastery Leith", "GB", "Europe/London"},
		}}),
		demoUser("noah@cafe-nowhere.example", "Noah Empty"), // sees nothing
		demoUser("phil@cafe-groundhog.example", "Phil Connors", Business{310009900000900, "Café Groundhog", "USD", []Location{
			{groundhogLocation, "Café Groundhog", "US", "America/New_York"},
		}}),
	}, retailUsers()...)
}

// retailUsers are those of R-Series and X-Series.
func retailUsers() []User {
	const oslo = "Europe/Oslo"
	centre, harbour := Shop{ID: 1, Name: "Velo Nord Centre", Timezone: oslo}, Shop{ID: 2, Name: "Velo Nord Harbour", Timezone: oslo}
	airport, closed := Shop{ID: 3, Name: "Velo Nord Airport", Timezone: oslo}, Shop{ID: 4, Name: "Velo Nord Old Mill", Timezone: oslo, Archived: true}
	employee := func(email, name string, account Account) User {
		return User{Email: email, Password: demoPassword, Name: name, Account: &account}
	}
	seller := func(email, name string, retailer Retailer) User {
		return User{Email: email, Password: demoPassword, Name: name, Retailer: &retailer}
	}
	return []User{
		employee("ingrid@velo-nord.example", "Ingrid Dahl", Account{90210, "Velo Nord", []Shop{centre, harbour, airport, closed}}),
		employee("jonas@velo-nord.example", "Jonas Berg", Account{90210, "Velo Nord", []Shop{harbour}}), // the same account
		employee("pedro@pedal-shop.example", "Pedro Alves", Account{90311, "Pedal Shop", []Shop{{ID: 1, Name: "Pedal Shop", Timezone: "Europe/Lisbon"}}}),
		employee("nora@net-only.example", "Nora Lind", Account{ID: 90412, Name: "Net Only"}), // no shop
		seller("sara@fjord-wear.example", "Sara Holm", Retailer{"fjordwear", "Fjord Wear", "NOK", "NO", oslo, []Outlet{
			{Name: "Fjord Wear Oslo"}, {Name: "Fjord Wear Bergen"}, {Name: "Fjord Wear Tromsø"}, {Name: "Fjord Wear Moss", Deleted: true},
		}}),
		seller("tom@corner-books.example", "Tom Baker", Retailer{"cornerbooks", "Corner Books", "GBP", "GB", "Europe/London", []Outlet{
			{Name: "Corner Books"},
		}}),
	}
}

func demoUser(email, name string, businesses ...Business) User {
	return User{Email: email, Password: demoPassword, Name: name, Businesses: businesses}
}

// single is a business with one location of the same name.
func single(id int64, name, currency, country, zone string) Business {
	return Business{id, name, currency, []Location{{id + 1, name, country, zone}}}
}
