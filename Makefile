# Every target installs what it needs where it can, and names what is missing where it cannot.
.DEFAULT_GOAL := help
SHELL := bash
.PHONY: help setup build web demo test test-full lint fmt schemas docs bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Check the tools, and install the missing ones (as root, with apt)
	@scripts/setup.sh

build: setup ## Build the release binary, target/release/llmops
	cargo build --locked --release -p llmops-cli

web: ## Build the dashboard (web/) into the server's assets, to be committed
	@scripts/web.sh build

demo: build ## Play the main story on examples/support-bot: baseline, worse prompt, failing gate
	@scripts/demo.sh

test: setup ## Everything a change must pass: format, clippy, tests on SQLite and PostgreSQL, doc tests
	@scripts/test.sh

test-full: test ## Also the long tests, the reference Python packages and the dependency audit
	@scripts/test-full.sh

lint: setup ## Format check and clippy
	@scripts/lint.sh

fmt: ## Format the code
	cargo fmt --all

schemas: setup ## Write docs/schema, docs/openapi.json and the Python client's types anew
	TIDY_UPDATE=1 cargo test --locked -q -p llmops-cli --test it schemas
	python3 sdk/python/generate.py

docs: ## Build the documentation's site into .dev/site
	@scripts/docs_site.sh

bench: setup ## Run the benchmarks
	cargo bench --locked --workspace

clean: ## Remove what was built and what the scripts put under .dev
	cargo clean
	rm -rf .dev
