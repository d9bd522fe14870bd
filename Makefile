# make demo    builds a web service, runs it, changes it, builds it again (root)
# make test    sets up and runs all tests
# make check   format, lint, types, layering
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: venv demo test check bench soak diff docs format clean

venv: $(STAMP)

$(STAMP): pyproject.toml scripts/make_venv.py scripts/wherry scripts/wherryd
	$(PYTHON) scripts/make_venv.py $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: venv
	$(BIN)/python examples/demo

test: venv
	$(BIN)/python -m pytest -n 2 tests

check: venv
	$(BIN)/ruff format --check src tests benchmarks examples scripts
	$(BIN)/ruff check src tests benchmarks examples scripts
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layering.py

format: venv
	$(BIN)/ruff check --fix src tests benchmarks examples scripts
	$(BIN)/ruff format src tests benchmarks examples scripts

# Side by side with dockerd, where it is installed; prints ratios.
bench: venv
	$(BIN)/python benchmarks/run.py

# Records what dockerd does of what tests/golden/scenarios.txt asks, and what it builds from the
# Dockerfiles of tests/golden/dockerfiles (minutes); `make test`
# compares Wherry with it.
diff: venv
	$(BIN)/python tests/support/record_dockerd.py
	$(BIN)/python tests/support/record_builds.py

# The tables of what works and what does not; `make test` holds them to be true.
docs: venv
	$(BIN)/python tests/support/compatpage.py

# The long kill, load and fuzz loops, which `make test` runs small.
soak: venv
	WHERRY_SOAK=1 $(BIN)/python -m pytest -n 2 --timeout 3600 tests

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
