# The two commands to know: make dev (needs only Go) and make test (installs
# what it lacks).

.PHONY: dev test torture screenshots build lint bench bench-scale fuzz deps

# A server, the Lightspeed sandbox and demo businesses.
dev:
	go run ./cmd/evergrant dev

# The race detector, and the checks of pointers that come with it, look at everything
# but the modules of SQLite: its engine, which is C translated to Go, what that needs of
# a C library, and the driver. To watch their every access takes twice as long as all
# the rest.
RACE = -race -gcflags='modernc.org/...=-race=false -d=checkptr=0'

# The packages that take longest, which come first.
SLOWEST = manager cli store/postgres webhook

# Every test, with the race detector, 10,000 simulated worlds, fuzzing and mutations
# of the core; last the tests on real processes, which need the machine for themselves
# and print their figures.
test: deps
	go test $(RACE) -timeout 25m $(SLOWEST:%=./internal/%) $$(go list ./... | grep -v /e2e)
	EVERGRANT_SEEDS=10000 go test -count 1 -timeout 30m -v -run SmallWorlds ./internal/simulation
	scripts/fuzz 30s 12
	scripts/mutate
	go test $(RACE) -timeout 60m -v ./e2e

# Simulate days of faults on fake time; then kill, stop and fail real servers at
# random, and print what came of it: for six minutes, with LONG=1 for two hours
# and with much more beside it, or for DURATION. SEED repeats the choices.
LONG ?=
DURATION ?= $(if $(LONG),2h,6m)
torture:
	@DURATION=$(DURATION) LONG=$(LONG) SEED=$(SEED) scripts/torture

# What the tests need besides Go.
deps:
	@scripts/test-deps

# A static binary in bin/.
build:
	CGO_ENABLED=0 go build -trimpath -o bin/evergrant ./cmd/evergrant

lint:
	@scripts/lint

# The pictures in docs/images, from the demo in a real browser; then every page and
# state that the tests meet, on a phone and on a desk, light and dark.
screenshots: deps
	go test -tags pictures -count 1 -run '^TestPicturesOfTheDocuments$$' ./e2e
	EVERGRANT_PICTURES=$(CURDIR)/.build/screens go test -count 1 -timeout 20m -run 'AreForEverybody|InARealBrowser|^TestSupport|^TestPeopleLogIn' ./e2e
	@echo "The pictures are in docs/images and .build/screens"

# In benchstat's format; COUNT repetitions.
COUNT ?= 5
bench:
	go test -run '^$$' -bench . -benchmem -count $(COUNT) ./...

# What a million connections cost, on SQLite and on PostgreSQL: takes half an hour
# and some 10 GB of disk.
CONNECTIONS ?= 1000000
LOAD ?= 3m
STORES ?= sqlite postgres
bench-scale: deps
	CONNECTIONS=$(CONNECTIONS) LOAD=$(LOAD) STORES="$(STORES)" go test -C e2e -tags scale -run '^TestScale$$' -count 1 -timeout 0 -v .

# Every fuzz target for FUZZTIME.
FUZZTIME ?= 30s
fuzz:
	@scripts/fuzz $(FUZZTIME)
