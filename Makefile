# What people type. `make` alone prints the list.
#
# Rust, a C compiler and make must be there. What else a target needs is installed by its package
# name through .ci/need, which says what and why first; where all is there, no network is asked.

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# Cargo's own extensions, built from crates.io at the first use.
TOOLS := $(abspath $(TARGET_DIR))/tools
export PATH := $(TOOLS)/bin:$(PATH)

# `make demo ARGS=--once`
ARGS ?=
# `make fuzz FUZZ_TARGETS=json_filter FUZZ_SECONDS=600`
FUZZ_TARGETS ?= $(sort $(basename $(notdir $(wildcard tests/fuzz/bin/*.rs))))
FUZZ_SECONDS ?= 60
# `make soak SOAK_ROUNDS=100`
SOAK_ROUNDS ?= 1000

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench soak fuzz check needs needs-prometheus lint-here tools-deny tools-fuzz tools-mail tools-nats

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# The dev profile, on purpose: a release build takes several times as long (thin LTO over pingora
# in one codegen unit), and what the demo shows does not depend on speed. `make test` uses most of
# the same build; dependencies that the tests want with more features are built again.
demo: needs ## a small CRM, Fieldgate in front of it, and a tour; ARGS=--once ends after the tour
	@echo "Building Fieldgate. The first time takes some minutes."
	$(CARGO) run --locked -- demo $(ARGS)

test: needs needs-prometheus tools-mail tools-nats ## every test, then formatting and lints as far as the tools are there
	$(CARGO) test --workspace --locked
	@$(MAKE) --no-print-directory lint-here
	@echo "All tests passed."

lint: needs tools-deny ## formatting, clippy, licences, bans, advisories
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) deny --locked check bans licenses sources
	@.ci/advisories

bench: needs ## throughput of the byte filter, and what recording writes costs
	$(CARGO) bench --locked

# The dev profile, on purpose: fail points are compiled into nothing else.
soak: needs ## kill it SOAK_ROUNDS times while clients write, and hold the journal against the CRM
	FIELDGATE_CRASH_ROUNDS=$(SOAK_ROUNDS) $(CARGO) test --locked --test crash

fuzz: needs tools-fuzz ## every parser for FUZZ_SECONDS each, or only FUZZ_TARGETS="..."
	@for target in $(FUZZ_TARGETS); do .ci/fuzz "$$target" "$(FUZZ_SECONDS)" || exit 1; done

check: needs ## the quick round while writing: does everything compile, is it formatted
	$(CARGO) fmt --check
	$(CARGO) check --locked --all-targets

needs:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: see https://rustup.rs" >&2; exit 1; }
	@.ci/need cc gcc "The dependencies hold some C, for TLS and compression."
	@.ci/need cmake cmake "Pingora builds zlib-ng with it."

needs-prometheus:
	@.ci/need promtool prometheus "The tests scrape a gate with it, and run the cases of the alerts."

# The part of `lint` that needs nothing installed; components that are missing are told, not fetched.
lint-here:
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --check; \
	else echo "Formatting was not checked: rustfmt is not installed."; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then \
		echo "Clippy looks at every target."; \
		$(CARGO) clippy --quiet --locked --all-targets -- -D warnings; \
	else echo "Lints were not checked: clippy is not installed."; fi

tools-deny:
	@command -v cargo-deny >/dev/null || { \
		echo "cargo-deny is missing. It checks licences and bans. Building it into $(TOOLS)."; \
		$(CARGO) install cargo-deny --locked --root $(TOOLS); }

tools-mail:
	@.ci/aiosmtpd $(TOOLS)

tools-nats:
	@.ci/nats-server $(TOOLS)

tools-fuzz:
	@.ci/need c++ g++ "libFuzzer is C++."
	@command -v cargo-fuzz >/dev/null || { \
		echo "cargo-fuzz is missing. It drives libFuzzer. Building it into $(TOOLS)."; \
		$(CARGO) install cargo-fuzz --locked --root $(TOOLS); }
