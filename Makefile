# Each target does its own set-up.
.PHONY: up test lint contracts audit bench bench-gateway

# The whole mesh on this machine, until Ctrl-C. ARGS goes to `caravan up`: make up ARGS="--port-base 9000 --detach".
up:
	@tests/need cc build-essential
	@tests/need nats-server nats-server
	@cargo build --release --workspace --bins
	@exec $${CARGO_TARGET_DIR:-target}/release/caravan up $(ARGS)

# All tests, over real ports, a real NATS JetStream and real databases.
test:
	@tests/run

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# proto/: its style, and that it breaks no client of the previous contract.
contracts:
	@tests/contracts

# Speed of a release build on this machine, as tables. One section only: make bench SECTION=orders
bench:
	@tests/bench $(SECTION) $(ARGS)

# The gateway beside Envoy and beside a proxy that only forwards bytes. ARGS goes to it: make bench-gateway ARGS="--rounds 1".
bench-gateway:
	@tests/bench-gateway $(ARGS)

# Licences, sources and known vulnerabilities of what the build brings in, and bills of materials.
audit:
	@tests/audit
