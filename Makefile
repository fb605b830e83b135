# Everything that is done with this repository. `make demo` and `make test` set up what they need.

SHELL := /bin/sh
CARGO ?= cargo
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
WASM_TARGET := wasm32-wasip2
# What checks the types of the Python SDK, in versions that are known to agree with it.
PYTHON_TOOLS := $(TARGET_DIR)/python-tools
MYPY := mypy==2.4.1
PYRIGHT := pyright==1.1.414
COMPONENTIZE_PY := componentize-py==0.25.1
# The example that the demo runs: quotes-python; quotes, which is the same in Rust; forms; intercept; or hearts.
EXAMPLE ?= quotes-python

.PHONY: help setup tools servers demo test lint bench clean

help:
	@echo "make demo    run an example project: 3 agents, 30 jobs, real Chromium pages (or EXAMPLE=quotes, forms, intercept, hearts)"
	@echo "make test    run every test"
	@echo "make lint    formatting, lints, types, documentation, dependencies"
	@echo "make bench   measure, each figure against a peer in the same run"
	@echo "make setup   install what is missing: Chromium, Xvfb, Python, the Wasm target, and the servers of the tests"
	@echo "make clean   remove what was built"

# Installs the packages named in $missing on Debian and Ubuntu, and says elsewhere that they are missing, with the advice
# that this is called with. What is installed is not started: the machine's own services stay as they are.
define INSTALL
if test -n "$$missing"; then \
		if command -v apt-get >/dev/null; then \
			sudo=; test "$$(id -u)" = 0 || sudo=sudo; \
			policy=/usr/sbin/policy-rc.d; \
			if ! test -e $$policy; then \
				trap "$$sudo rm -f $$policy" EXIT INT TERM; \
				printf '#!/bin/sh\nexit 101\n' | $$sudo tee $$policy >/dev/null && $$sudo chmod +x $$policy; \
			fi; \
			echo "installing $$missing"; \
			$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
		else \
			echo "missing: $$missing $(1)" >&2; exit 1; \
		fi; \
	fi
endef

setup: tools servers

# What everything needs but the tests of servers.
tools:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing (on Debian: apt-get install gcc)" >&2; exit 1; }
	@if ! test -d "$$(rustc --print target-libdir --target $(WASM_TARGET) 2>/dev/null)"; then \
		if command -v rustup >/dev/null; then rustup target add $(WASM_TARGET); \
		else echo "the Wasm target is missing: rustup target add $(WASM_TARGET)" >&2; exit 1; fi; \
	fi
	@missing=; \
	{ test -n "$$ARMADA_CHROMIUM" || command -v chromium || command -v chromium-browser \
		|| command -v google-chrome || command -v google-chrome-stable || command -v chrome \
		|| test -d "/Applications/Google Chrome.app"; } >/dev/null || missing="chromium"; \
	"$${ARMADA_PYTHON:-python3}" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null \
		|| missing="$$missing python3-venv"; \
	test "$$(uname)" = Darwin || command -v Xvfb >/dev/null || missing="$$missing xvfb"; \
	$(call INSTALL,(or set ARMADA_CHROMIUM and ARMADA_PYTHON to their paths))

# The servers that tests start for themselves, on ports and with folders of their own, and a clock that they set.
servers:
	@missing=; \
	command -v redis-server >/dev/null || missing="redis-server"; \
	{ test -x /usr/lib/rabbitmq/bin/rabbitmq-server || command -v rabbitmq-server; } >/dev/null \
		|| missing="$$missing rabbitmq-server"; \
	{ ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null || command -v initdb; } >/dev/null || missing="$$missing postgresql"; \
	{ test -x /usr/sbin/mariadbd || command -v mariadbd; } >/dev/null || missing="$$missing mariadb-server"; \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib*/faketime/libfaketimeMT.so.1 2>/dev/null | grep -q faketime \
		|| missing="$$missing faketime"; \
	$(call INSTALL,(in this system's own packages))

# Builds everything, as `test` does: with a part of it, other features would be asked for, and wasmtime compiled twice.
demo: tools
	$(CARGO) build --workspace
	@examples/demo.sh "$(TARGET_DIR)/debug" "$(EXAMPLE)"

# The command's own binary is built first: end-to-end tests start it.
test: setup
	$(CARGO) build --workspace
	$(CARGO) test --workspace

lint: tools $(PYTHON_TOOLS)/complete
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --quiet
	@PATH="$$(cd "$(PYTHON_TOOLS)/bin" && pwd):$$PATH" guest-sdk/python/check.sh
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --offline check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and versions of dependencies were not checked"; fi

$(PYTHON_TOOLS)/complete: Makefile
	@echo "installing what checks the Python SDK"
	@"$${ARMADA_PYTHON:-python3}" -m venv --clear "$(PYTHON_TOOLS)"
	@"$(PYTHON_TOOLS)/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
		"$(MYPY)" "$(PYRIGHT)" "$(COMPONENTIZE_PY)"
	@touch "$@"

bench: setup
	$(CARGO) build --release --workspace
	"$(TARGET_DIR)/release/armada-benches"

clean:
	$(CARGO) clean
