# Two commands need nothing but Python and this folder: `make experiment` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

# Real tables: this folder if it is there, else the user's cache, else a download.
FEDCREDIT_DATA ?= ../shared/data
ifneq ($(or $(filter-out file,$(origin FEDCREDIT_DATA)),$(wildcard $(FEDCREDIT_DATA)/.)),)
override FEDCREDIT_DATA := $(abspath $(FEDCREDIT_DATA))
export FEDCREDIT_DATA
else
unexport FEDCREDIT_DATA
endif

# What an epsilon rests on, by law: tests/README.md.
PRIVACY_TESTS := tests/unit/privacy tests/unit/training tests/unit/experiment/attacks tests/unit/experiment/test_audit.py \
	tests/unit/federation/test_client.py tests/unit/federation/test_protocol.py tests/unit/data/test_encoding.py \
	tests/unit/test_seeds.py tests/contracts/test_replay.py tests/contracts/test_row_bits.py \
	tests/contracts/test_sensitivity.py tests/contracts/test_trainers.py tests/oracles \
	tests/statistical/test_audit.py tests/statistical/test_noise.py tests/statistical/test_sampling.py

.PHONY: help experiment market rivals rare rings frontier test test-long test-privacy check mutants mutants-generated \
	benchmark decisions-capacity clean
help:
	@echo "make experiment   privacy budgets compared: six budgets on five seeds, the table and the report's path"
	@echo "make market       the README's table of the simulated market: every budget on five markets"
	@echo "make rivals       DP-EBM and others at the same epsilon, on five markets; installs an optional extra"
	@echo "make rare         rare defaults under privacy: weights and priors compared on five markets"
	@echo "make rings        fraud rings: scores, shared keys, or both, on three markets"
	@echo "make frontier     the README's table: every budget and the stock recipe on ten splits"
	@echo "make test         the test suite, but for what takes minutes"
	@echo "make test-long    the rest of it: hundreds of audits, and a market of 400,000 borrowers"
	@echo "make test-privacy what an epsilon rests on, in about two minutes on two free cores (tests/README.md)"
	@echo "make check        ruff, mypy --strict, import directions"
	@echo "make mutants      plants privacy bugs one by one; each must be killed by a named test; 10 minutes"
	@echo "make mutants-generated  changes privacy/ and training/ at random; lists what no test notices; half an hour"
	@echo "make benchmark    what runs cost, beside stock Flower; hours on 2 cores (BENCHMARK=--quick: minutes)"
	@echo "make decisions-capacity  a million accounts over 36 months through the chain of decisions; half a minute"
	@echo "make clean        remove the environment and what tools left behind; results/ stays"

experiment: .venv/run.stamp
	$(BIN)/fedcredit study run privacy_budgets

market: .venv/run.stamp
	$(BIN)/fedcredit run --multirun 'experiments=privacy_budgets/*' portfolio.market_seed=1,2,3,4,5 \
		'seed=$${portfolio.market_seed}' 'split_seed=$${portfolio.market_seed}' results_dir=results/market \
		'evaluation.references=[alone,pooled,oracle]'
	$(BIN)/fedcredit show results/market --by kind --picture experiments/privacy_budgets/by_kind.png
	$(BIN)/fedcredit show results/market --by lender

rivals: .venv/run.stamp
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[rivals]'
	$(BIN)/fedcredit run --multirun experiments=privacy_budgets/epsilon_8,privacy_budgets/epsilon_2,privacy_budgets/epsilon_1 \
		portfolio.market_seed=1,2,3,4,5 'seed=$${portfolio.market_seed}' 'split_seed=$${portfolio.market_seed}' \
		'evaluation.references=[federated_logistic,one_shot,output_perturbation,dp_ebm,pooled]' \
		'evaluation.sections=[]' results_dir=results/rivals
	$(BIN)/fedcredit show results/rivals --by rival

rare: .venv/run.stamp
	$(BIN)/fedcredit run --multirun 'experiments=rare_defaults/*' portfolio.market_seed=1,2,3,4,5 \
		'seed=$${portfolio.market_seed}' 'split_seed=$${portfolio.market_seed}' results_dir=results/rare
	$(BIN)/fedcredit show results/rare --by rare

rings: .venv/run.stamp
	$(BIN)/fedcredit run --multirun 'experiments=fraud_rings/*' portfolio.market_seed=1,2,3 \
		'seed=$${portfolio.market_seed}' 'split_seed=$${portfolio.market_seed}' results_dir=results/rings
	$(BIN)/fedcredit show results/rings --by ring

frontier: .venv/run.stamp
	$(BIN)/fedcredit run --multirun 'experiments=taiwan_budgets/*,taiwan/stock_recipe' \
		split_seed=1,2,3,4,5,6,7,8,9,10 'seed=$${split_seed}' 'evaluation.references=[alone,pooled,pooled_trees]' \
		results_dir=results/frontier
	$(BIN)/fedcredit show results/frontier --against taiwan/stock_recipe

test: .venv/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

test-long: .venv/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(WORKERS) -m long

test-privacy: .venv/dev.stamp
	$(BIN)/python -m pytest --numprocesses $(WORKERS) $(PRIVACY_TESTS)

check: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_imports.py

mutants: .venv/dev.stamp
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m mutants $(MUTANTS)

mutants-generated: .venv/dev.stamp
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m mutants.generated $(GENERATED)

benchmark: .venv/dev.stamp
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCHMARK)

decisions-capacity: .venv/dev.stamp
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.decisions

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/run.stamp: pyproject.toml constraints.txt
	@echo "building the environment in .venv"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/dev.stamp: .venv/run.stamp
	$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
