# Each target does its own set-up.
.PHONY: up test lint contracts bench

# The whole mesh on this machine, until Ctrl-C.
up:
	@tests/need nats-server nats-server
	@cargo build --quiet --workspace --bins
	@target/debug/caravan up

# All tests, over real ports, a real NATS JetStream and real databases.
test:
	@tests/run

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# proto/: its style, and that it breaks no client of the previous contract.
contracts:
	@tests/contracts

# Speed of a release build on this machine, as a table.
bench:
	@tests/bench
