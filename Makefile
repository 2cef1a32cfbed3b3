# make help lists the targets.
.DEFAULT_GOAL := help
CARGO := cargo
# Most tests wait, for a server or for time to pass: two for each processor.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: tools server ## Watch the whole job run on a temporary local PostgreSQL
	@echo 'building sessctl, the first time for some minutes' >&2
	@$(CARGO) build --locked
	@$(CARGO) run --locked --quiet -- demo

test: tools server ## Run all tests against a real PostgreSQL
	$(CARGO) test --locked

dist: tools ## Build everything that a release has into target/dist: archive, npm, Debian package, image
	packaging/dist $(ARGS)

test-packages: tools server ## Install and run what make dist has built
	$(CARGO) test --locked --test packages

measure: server ## Measure each way of installing what make dist has built (ARGS=--cargo: cargo install too)
	packaging/measure $(ARGS)

test-reproducible: tools ## Build the last commit in two places, and compare the bytes
	packaging/test-reproducible

release-check: tools server ## Rehearse a release from a clean clone: lint, build, compare, install, run
	packaging/check-release $(ARGS)

release-prepare: tools server ## Write a release's number and date everywhere (VERSION=0.1.0, OWNER=name the first time)
	packaging/prepare $(VERSION) $(OWNER)

bare-machine: ## Run make demo and make test in a bare Debian (root, debootstrap)
	scripts/bare-machine $(ARGS)

fuzz: ## Try inputs that no user writes for a minute (ARGS='--seconds 600')
	SESSCTL_FUZZ_SECONDS=$(or $(lastword $(ARGS)),60) $(CARGO) test --locked --test suite -- --nocapture fuzz::

kill-archive: server ## Kill a cleanup that archives at random moments (ARGS=200)
	SESSCTL_KILL_ROUNDS=$(or $(ARGS),50) $(CARGO) test --locked --test suite -- --nocapture whenever_a_run_is_killed

test-matrix: ## Run all tests on PostgreSQL 15 to 18, or on some (ARGS='17 /folder/of/binaries')
	scripts/test-matrix $(ARGS)

test-upgrade: server ## Run an earlier version's maintenance on this schema (REV=v0.1.0)
	scripts/test-upgrade $(REV)

lint: ## Check formatting, lints and words
	scripts/check-words
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --all-targets --locked -- -D warnings

snapshot: server ## Write src/schema/snapshot.txt, what the migrations make
	SESSCTL_WRITE_SNAPSHOT=1 $(CARGO) test --locked --test suite snapshot

golden: server ## Update tests/golden to what the program prints
	SESSCTL_WRITE_GOLDEN=1 $(CARGO) test --locked --test suite golden::

picture: server ## Write the README's picture of a terminal from what the demo prints
	SESSCTL_WRITE_PICTURE=1 $(CARGO) test --locked --test suite the_picture

bench: server ## Measure maintenance against single statements (ARGS='--rows 200000'; ARGS=--help)
	$(CARGO) bench --locked --bench ratios -- $(ARGS)

soak: server ## Send heartbeats beside sweeps for a minute (ARGS='--seconds 600')
	$(CARGO) bench --locked --bench soak -- $(ARGS)

bench-archive: server ## Measure an archive: time, size, memory (ARGS='--rows 3000000')
	$(CARGO) bench --locked --bench archive -- $(ARGS)

drift-table: server ## What verify, migra and pg_dump say of each change in tests/drift
	$(CARGO) bench --locked --bench drift -- $(ARGS)

tools: ## Say what is missing of what sessctl is built with
	@scripts/check-tools

server: ## Install a PostgreSQL server if none is found
	@scripts/install-server

test-tools: ## Install what some tests use and can do without: extensions, pgbouncer, zsh, fish
	@scripts/install-server --test-tools

.PHONY: help bench-archive demo test dist measure test-packages test-reproducible release-check release-prepare bare-machine fuzz kill-archive test-matrix \
	test-upgrade lint snapshot golden picture bench soak drift-table tools server test-tools
