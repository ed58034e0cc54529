# Each target sets up what it needs first. PYTHON=/path/to/python3 chooses the interpreter of the environment.
.PHONY: setup demo test lint docs linkcheck bench compile-env
RUN := .venv/bin/python
# Sphinx reads again what changed (-d holds the rest), and ends with an error after any warning, such as a link that
# leads nowhere. What it read goes then too: it would not warn of it twice.
SPHINX = $(RUN) -m sphinx -W -q -j 2 -c docs/site -d build/doctrees -b
FORGET = { rm -rf build/doctrees; exit 1; }

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
	$(SPHINX) dummy . build/dummy || $(FORGET)

docs: setup
	$(SPHINX) html . build/docs || $(FORGET)
	@echo "Open build/docs/index.html"

linkcheck: setup
	$(SPHINX) linkcheck . build/linkcheck || $(FORGET)

bench: setup
	$(RUN) -m experiments.benchmark --small --output=bench.json

compile-env:
	@PYTHON="$(PYTHON)" bash tools/compile_env.sh
