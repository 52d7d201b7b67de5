# Every target makes its own virtual environment when there is none. All that it needs is Python 3.11.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

# Three stamps: what running needs, what development needs on top of it, and a second environment with
# the suites of others and the trackers.
RUNTIME := .venv/.runtime
DEV := .venv/.dev
SUITES := .venv-suites/.suites

DEMO := runs/demo
STEPS := 1_000_000

.PHONY: demo test test-suites extras lint docs pictures bench clean

demo: $(RUNTIME) ## Train, evaluate and draw a team in about a minute
	rm -rf $(DEMO)
	$(BIN)/shoal train mappo mpe/simple_spread --steps $(STEPS) --seed 0 --out $(DEMO)
	$(BIN)/shoal eval $(DEMO) --episodes 1000
	$(BIN)/shoal render $(DEMO) --format html
	@echo "Look at $(DEMO)/replay.html (the episode) and $(DEMO)/curve.png (the learning curve)."

test: $(DEV) ## Run the tests, a file at a time on each core
	$(BIN)/python -m pytest -q -n auto --dist loadfile --max-worker-restart 1

test-suites: $(SUITES) ## Run the tests of other suites' worlds and of trackers: a skip is a failure
	SHOAL_NO_SKIPS=1 .venv-suites/bin/python -m pytest -q -n auto --dist worksteal --max-worker-restart 1 tests/envs/suites tests/trackers

extras: $(SUITES) ## Find versions that all extras and the constraints agree on, installing nothing
	.venv-suites/bin/pip install --quiet --disable-pip-version-check -c constraints.txt --dry-run \
		-e ".[$$(.venv-suites/bin/python -c 'import tomllib; \
		print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"], sep=",")')]"

lint: $(DEV) ## Check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

docs: $(DEV) ## Build the documentation, warnings are errors
	rm -rf docs/_build/api
	$(BIN)/sphinx-build -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html

pictures: $(RUNTIME) ## Draw the moving picture at the top of the README
	rm -rf runs/tag
	$(BIN)/shoal train mappo mpe/simple_tag --steps 2_000_000 --seed 0 --out runs/tag
	$(BIN)/shoal render runs/tag --format gif --episodes 5 --out docs/pictures/tag.gif

bench: $(RUNTIME) ## Measure the speed of environments and of training
	$(BIN)/shoal bench env mpe/simple_spread --num-envs 4096
	$(BIN)/shoal bench train mappo mpe/simple_spread

clean: ## Remove everything that can be made again, runs excepted
	rm -rf .venv .venv-suites docs/_build docs/algorithms docs/environments docs/gallery.md build dist .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

$(DEV): $(RUNTIME)
	$(PIP) -e '.[dev,docs]'
	touch $@

$(SUITES): pyproject.toml constraints.txt
	test -x .venv-suites/bin/python || $(PYTHON) -m venv .venv-suites
	.venv-suites/bin/pip install --quiet --disable-pip-version-check -c constraints.txt \
		-e '.[dev,jaxmarl,jumanji,gymnax,playground,mamujoco,mujoco,box2d,mlflow,trackio,wandb]'
	touch $@
