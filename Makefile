# Each target sets up what it needs first. PYTHON=/path/to/python3 chooses the interpreter of the environment.
.PHONY: setup demo test lint bench compile-env
RUN := .venv/bin/python

setup: .venv/setup.stamp

.venv/setup.stamp: requirements.lock pyproject.toml tools/setup.sh
	@PYTHON="$(PYTHON)" bash tools/setup.sh
	@touch $@

demo: setup
	$(RUN) -m experiments.demo --output=demo

test: setup
	$(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m basedpyright

bench: setup
	$(RUN) -m experiments.benchmark --small --output=bench.json

compile-env:
	@PYTHON="$(PYTHON)" bash tools/compile_env.sh
