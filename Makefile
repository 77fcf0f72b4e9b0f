# `make` lists what can be made. Needs git, make and Python 3.11 or newer with venv; everything else goes into .venv.

.DEFAULT_GOAL := help
.PHONY: help setup demo test trust fuzz lint format docs screenshots bench lock clean

BIN := .venv/bin
# Tests run in so many processes, those of a file in one (they share a playground, or hosts); ARGS is handed on: make test ARGS="tests/config -k anchors"
# Many wait for hosts more than they work: three processes keep two processors busy. The promises' tests wait even more.
JOBS ?= $(shell expr \( 3 \* $$(nproc) + 1 \) / 2)
TRUST_JOBS ?= $(shell expr 2 \* $$(nproc))
ARGS ?=
UV_VERSION := 0.13.9

help: ## lists these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: ## makes .venv with everything that development needs
	@sh bootstrap.sh development

demo: ## starts a playground fleet on this machine (no root, no Docker) and shows a deploy and a rollback on it
	@sh bootstrap.sh runtime
	@$(BIN)/qd demo $(ARGS)

test: ## runs the tests (ARGS="…" goes to pytest, JOBS=n processes)
	@sh bootstrap.sh development
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

trust: ## the tests that keep the README's promises, at their full counts, and what they counted (under twenty minutes, as root)
	@sh bootstrap.sh development
	@QD_TRUST=full QD_TEST_REQUIRE=$${QD_TEST_REQUIRE:-all} $(BIN)/python -m pytest -n $(TRUST_JOBS) --dist loadfile --no-loadscope-reorder -m trust --promises $(ARGS)

fuzz: ## inputs that nobody thought of, led by what of the program they reach (ARGS="--seconds 60 TARGET")
	@sh bootstrap.sh development
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

lint: ## style, types, and that imports only go down a floor
	@sh bootstrap.sh development
	@failed=; check() { echo "== $$*"; $(BIN)/python -m "$$@" || failed=yes; }; \
	check ruff check --quiet .; \
	check ruff format --check .; \
	check mypy -p quarterdeck; \
	check mypy tests $(wildcard benchmarks screenshots); \
	echo "== import-linter"; $(BIN)/lint-imports --no-logo || failed=yes; \
	test -z "$$failed"

format: ## writes the code in the one style
	@sh bootstrap.sh development
	@$(BIN)/python -m ruff check --quiet --fix-only .
	@$(BIN)/python -m ruff format .

docs: ## writes the tables of docs/control-room.md and docs/fleet-file.md from the program's own lists
	@sh bootstrap.sh development
	@$(BIN)/python -m quarterdeck.tui.room.reference
	@$(BIN)/python -m quarterdeck.config.reference

screenshots: ## pictures of the control room on a real playground, SVG and PNG, into screenshots/
	@sh bootstrap.sh development
	@$(BIN)/python -m screenshots.make $(ARGS)

bench: ## measures deploy and rollback next to the least that they could cost (some minutes)
	@sh bootstrap.sh development
	@$(BIN)/python -m benchmarks.run $(ARGS)

lock: ## works the dependency locks out again from pyproject.toml (needs the package index)
	@sh bootstrap.sh development
	@$(BIN)/python -m venv --clear build/lock
	@build/lock/bin/python -m pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@set -e; compile="build/lock/bin/uv --no-config --quiet pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock'"; \
	eval "$$compile --group build $(ARGS) --output-file requirements.txt" >/dev/null; \
	eval "$$compile --group build --group dev --constraint requirements.txt $(ARGS) --output-file requirements-dev.txt" >/dev/null
	@rm -rf build/lock; rmdir build 2>/dev/null || true
	@echo "written: requirements.txt, requirements-dev.txt (ARGS=--upgrade takes newer releases)"

clean: ## removes .venv and everything that was made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
