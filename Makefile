# Every target prepares what it needs, once: `make demo` on a fresh clone just works.
# Another interpreter: make PYTHON=python3.13 demo

PYTHON ?= python3
VENV := .venv
PARITY := .venv-parity
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check
TORCH := torch==2.13.0
# A process for every core, and a file of tests in one of them.
WORKERS := -n auto --maxprocesses 4 --dist loadfile

# What chainrule is measured against, each in an environment of its own.
PEERS := torch jax keras sklearn
BENCH_torch := $(TORCH) numpy onnx onnxruntime
BENCH_jax := jax
BENCH_keras := keras tensorflow
BENCH_sklearn := scikit-learn

.PHONY: help demo test lint types floors docs parity bench clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(VENV)/.ready-run ## train on real handwritten digits and show one step in numbers
	@$(VENV)/bin/chainrule demo

test: $(VENV)/.ready-dev ## run the tests; some of them: make test ARGS="tests/ir -x"
	@$(VENV)/bin/python -m pytest -q $(WORKERS) $(ARGS)

lint: $(VENV)/.ready-dev ## check style and formatting
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

types: $(VENV)/.ready-dev ## check types, strictly
	@$(VENV)/bin/mypy

floors: $(VENV)/.ready-dev ## check that imports run down, and that functions stay short
	@$(VENV)/bin/python tools/floors.py
	@$(VENV)/bin/python tools/size.py

docs: $(VENV)/.ready-dev ## run every Python block of README.md and docs/
	@$(VENV)/bin/python tools/snippets.py

parity: $(PARITY)/.ready ## compare with PyTorch and Keras (downloads both)
	@KERAS_BACKEND=$${KERAS_BACKEND:-torch} $(PARITY)/bin/python -m pytest -q $(WORKERS) tests/parity

bench: $(VENV)/.ready-run $(PEERS:%=.venv-bench-%/.ready) ## a quick look at the speed beside four peers (downloads them); in full: make bench ARGS=mlp
	@$(VENV)/bin/python -m benchmarks $(or $(ARGS),--quick)

clean: ## remove environments, caches and runs
	rm -rf $(VENV) $(PARITY) $(PEERS:%=.venv-bench-%) build dist runs .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A folder is a usable environment only once its stamp is there: an install that was
# interrupted is taken up again by the next call.
%/.made:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) was not found: chainrule needs Python 3.11 or newer." >&2; \
		echo "Install it, or name one: make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "chainrule needs Python 3.11 or newer; $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Preparing $* (once, about a minute) ..."
	@$(PYTHON) -m venv --clear $* || { \
		echo "$(PYTHON) cannot make environments; on Debian and Ubuntu:" \
			"apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.ready-run: pyproject.toml | $(VENV)/.made
	@$(VENV)/bin/python $(PIP_INSTALL) --editable '.[sklearn,plots,data,text]'
	@touch $@

$(VENV)/.ready-dev: pyproject.toml | $(VENV)/.made
	@$(VENV)/bin/python $(PIP_INSTALL) --editable '.[sklearn,plots,data,text,dev]'
	@touch $@ $(VENV)/.ready-run

# PyTorch first and by exact version, so that Keras finds it in place.
$(PARITY)/.ready: pyproject.toml | $(PARITY)/.made
	@$(PARITY)/bin/python $(PIP_INSTALL) $(TORCH)
	@$(PARITY)/bin/python $(PIP_INSTALL) --editable '.[sklearn,plots,data,text,dev,parity]'
	@touch $@

$(PEERS:%=.venv-bench-%/.ready): .venv-bench-%/.ready: | .venv-bench-%/.made
	@.venv-bench-$*/bin/python $(PIP_INSTALL) $(BENCH_$*)
	@touch $@
