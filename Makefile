# make setup   the environment .venv that everything uses
# make demo    the main job on the testbed: base, GRPO, probes, report
# make compare six algorithms and two contrast arms from one base, one report
# make test    the test suite, its numeric part with other kernels, the tests of vLLM in an environment of its own
# make proofs  longer proofs, whose results are committed (docs/results.md)
# make docs    the documentation site, in site/
# make check   format, lint, types
# make bench   speed, as ratios against a named peer
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: setup demo compare test proofs sandbox chromium vllm-env docs check bench

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: setup
	$(BIN)/rlvr train --config recipes/countdown-tiny/grpo.yaml --output_dir runs/demo

compare: setup
	$(BIN)/rlvr compare --config recipes/countdown-tiny/compare.yaml

test: setup sandbox chromium
	PYTHON=$(PYTHON) $(BIN)/python scripts/run_tests.py

proofs: setup sandbox chromium
	$(BIN)/python scripts/proofs.py

sandbox:
	PYTHON=$(PYTHON) bash scripts/install_sandbox.sh

chromium:
	bash scripts/install_chromium.sh

vllm-env:
	PYTHON=$(PYTHON) bash scripts/make_vllm_env.sh

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: setup
	$(BIN)/mkdocs build --strict

bench: setup
	$(BIN)/python scripts/bench.py
