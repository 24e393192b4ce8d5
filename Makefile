# Everything runs in a virtual environment that these targets make.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
SOURCES = setup.py pyproject.toml $(wildcard csrc/*) convkit/_core.pyx convkit/_core.pxd
WARNINGS = -Wall -Wextra -Werror
ISAS ?= baseline avx2
FUZZ_SECONDS ?= 180

.PHONY: help demo lessons test test-isa test-c test-aarch64 test-avx512 sanitize crash lint format \
	bench numbers readme-numbers wheel clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/built: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	CONVKIT_CFLAGS="$(WARNINGS)" $(BIN)/pip install --quiet --editable '.[test,plot]'
	@touch $@

demo: $(VENV)/built ## set up and train on the built-in digits
	$(BIN)/convkit train digits --plot digits.png

lessons: $(VENV)/built ## run the lessons of the class; their pictures go into pictures/
	for lesson in examples/[0-9]*.py; do $(BIN)/python $$lesson --quick || exit 1; done

test: $(VENV)/built ## set up and run the tests
	$(BIN)/python -m pytest -q

test-isa: $(VENV)/built ## run the tests on the other instruction sets of this machine
	for isa in $(ISAS); do CONVKIT_ISA=$$isa $(BIN)/python -m pytest -q tests || exit 1; done

fuzz: $(VENV)/built ## random and hostile calls of the functional API, for FUZZ_SECONDS (180)
	$(BIN)/python tests/fuzz.py --seconds $(FUZZ_SECONDS)

test-c: ## test the kernels alone, in C
	tests/c/run.sh native

sanitize: ## the same under the address and undefined-behaviour sanitizers
	tests/c/run.sh sanitize

test-aarch64: ## the same for 64-bit ARM: cross-compiled, run by qemu-user (Debian's packages)
	tests/c/run.sh aarch64

test-avx512: ## the same with the kernels for AVX-512 emulated, where the CPU has AVX2 alone
	tests/c/run.sh avx512

crash: $(VENV)/built ## kill trainings and saves at random times, fill the disk: nothing may be lost
	$(BIN)/python tests/crash.py

lint: $(VENV)/built ## check style and types
	$(BIN)/pip install --quiet --group lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" cython-lint convkit/*.pyx convkit/*.pxd
	$(BIN)/clang-format --dry-run --Werror csrc/*.c csrc/*.h csrc/*.inc tests/c/*.[ch]

format: $(VENV)/built ## format Python and C
	$(BIN)/pip install --quiet --group lint
	$(BIN)/ruff format .
	$(BIN)/clang-format -i csrc/*.c csrc/*.h csrc/*.inc tests/c/*.[ch]

bench: $(VENV)/built ## measure training beside the other libraries that are installed
	$(BIN)/convkit bench

numbers: $(VENV)/built ## measure everything (ten minutes) and put it into README.md
	$(BIN)/convkit bench all --json benchmarks/numbers.json
	$(MAKE) readme-numbers

readme-numbers: $(VENV)/built ## put benchmarks/numbers.json into README.md, as tables and a picture
	$(BIN)/python tools/paste_numbers.py benchmarks/numbers.json README.md --plot benchmarks/numbers.svg
	$(BIN)/python benchmarks/goals.py benchmarks/numbers.json

wheel: $(VENV)/built ## build a wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info convkit/*.so convkit/_core.c digits.png pictures
