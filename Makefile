# Bulkhead. `make help` lists the commands; each installs what it lacks through the system's packages, or says which command does.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# rustup puts cargo here, and a fresh shell may not know.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## Lists the commands
	@echo 'Bulkhead: one user'"'"'s trouble stays out of everyone else'"'"'s way.'
	@echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 16

.PHONY: demo
demo: ## Two users, a real PostgreSQL, Redis and ClickHouse, every promise shown and checked (3 minutes and less once built)
	@tests/setup/ensure rust cc postgresql redis clickhouse python curl
	@examples/chat/demo.sh

.PHONY: demo-cluster
demo-cluster: ## The chart on a real Kubernetes: two environments, one policy, injected pods, every promise checked, an alert at the end (root, or KUBECONFIG)
	@tests/setup/ensure rust cc
	@examples/chat/demo-cluster.sh

.PHONY: test
test: setup ## Builds everything and runs every test, against a real PostgreSQL and a real Kubernetes (as root)
# Both binaries have integration tests, so this builds them too, before any test runs; a build of its own would compile the
# dependencies once more, without the features of the tests. The programs that pods run are static ones, and built apart.
	@tests/cluster/static >/dev/null
	cargo test --workspace --locked --no-fail-fast

.PHONY: soak
soak: ## One sidecar under everything at once for SECONDS (3600): memory and descriptors must stay flat (docs/reliability.md)
	@tests/setup/ensure rust cc postgresql
	BULKHEAD_SOAK_SECONDS=$(or $(SECONDS),3600) cargo test --workspace --locked --test websocket_codec --test postgres -- --nocapture faults::soak

.PHONY: model
model: ## WALKS (2000) long stories of checkouts, hand-overs and cancels in any order, by the dice of SEED (others each time) (docs/reliability.md)
	@tests/setup/ensure rust cc
	@seed=$(or $(SEED),$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')) && echo "SEED=$$seed" && BULKHEAD_MODEL_SEED=$$seed \
		BULKHEAD_MODEL_WALKS=$(or $(WALKS),2000) cargo test --workspace --locked --lib -- factory::model::long

.PHONY: driver-suites
driver-suites: ## The own test suites of pgx, lib/pq, asyncpg and psycopg2, direct and through the sidecar: what differs must be known (20 minutes)
	@tests/setup/ensure rust cc postgresql venv go
	cargo test --workspace --locked --test websocket_codec --test drivers -- --ignored --nocapture --test-threads 1 suites

.PHONY: cluster
cluster: ## A single-node Kubernetes that stays up; prints its kubeconfig (root; built once, 15 minutes, then ready in 10 s)
	@tests/cluster/up

.PHONY: cluster-down
cluster-down: ## Ends that cluster, and removes all that it has made
	@tests/cluster/down

.PHONY: images
images: ## The images of the sidecar and the operator, as users run them: target/images/*.tar
	@tests/setup/ensure rust cc buildah
	@tests/cluster/images/release

.PHONY: bench
bench: ## pgbench by PgBouncer, WebSockets by HAProxy and nginx, Bulkhead in turn with each; then admission (QUICK=1: about 8 minutes)
	@tests/setup/ensure rust cc postgresql redis pgbouncer haproxy nginx python
	cargo build --release --workspace --locked --bins
	@tests/bench/run $(if $(QUICK),--quick) $(BENCH_ARGS)
# Arguments choose among the sections before.
	$(if $(BENCH_ARGS),,@$(MAKE) bench-admission)

.PHONY: prove
prove: ## The leak suite through Bulkhead's tiers and PgBouncer's modes; writes the table in docs/prove.md (some 25 minutes)
	@tests/setup/ensure rust cc postgresql pgbouncer python
	cargo build --release --workspace --locked --bins
	@tests/bench/leaks $(PROVE_ARGS)

.PHONY: bench-admission
bench-admission: ## Pods created a second with no injection, by policy and by webhook; the operator with many policies and pods
	@tests/setup/ensure rust cc control-plane
	cargo build --release --workspace --locked --bins
	cargo bench --workspace --locked --bench admission

.PHONY: lint
lint: ## Formatting, clippy and docs without a warning, and the dependencies' licences, sources and advisories
	@tests/setup/ensure rust cc
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --workspace --no-deps --locked --quiet
	@tests/setup/dependencies

.PHONY: fmt
fmt: ## Formats the code
	cargo fmt --all

.PHONY: setup
setup: ## Installs what the tests need: a C compiler, PostgreSQL, ClickHouse, Redis, Python, Node, Java, Chromium, curl, Prometheus with Alertmanager, faketime; Kubernetes, built once
	@tests/setup/ensure rust cc postgresql clickhouse redis venv faketime nodejs go jdbc chromium curl promtool alertmanager control-plane node
