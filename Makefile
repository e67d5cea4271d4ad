# `make demo` and `make test` are all a fresh Debian machine with a Swift toolchain needs.

PACKAGES := pkg-config libopenblas-dev libzstd-dev libarchive-dev libxxhash-dev libssl-dev libyaml-dev \
            libjpeg62-turbo-dev libpng-dev libwebp-dev libonig-dev libutf8proc-dev
BUILD    := swift build -c release
UNTANGLE := .build/release/untangle
SOURCES  := Sources Tests Package.swift
PYTHON   := .build/study-python/bin/python

FUZZ_SECONDS := 60

.PHONY: all demo test bench fuzz study format lint setup build clean

all: build

## Resolve, merge and measure eight experts; leaves out/demo/{merged.safetensors,table.txt,report.json,report.html}.
demo: build
	@rm -rf out/demo && mkdir -p out/demo
	@$(UNTANGLE) run Fixtures/demo.yaml --report out/demo/report.html > out/demo/table.txt && cat out/demo/table.txt
	@echo && echo "a page to look at: out/demo/report.html"

## Build and run every test (release build: the numeric kernels are tested as they ship).
test: setup
	@swift test -c release --disable-testable-imports
	@[ -n "$$UNTANGLE_PYTHON" ] || python3 -c 'import numpy, zstandard, xxhash' 2>/dev/null || \
	    echo "note: skipped the test that reads .skein files with Python: it needs numpy, zstandard and xxhash (.ci/python installs them)"

## Time the hot paths; each case prints the machine's own ceiling beside it.
bench: build
	@$(BUILD) --product untangle-bench
	@.build/release/untangle-bench

## Give every parser bytes that nobody wrote, FUZZ_SECONDS each; FUZZ_TARGETS="json npz" takes those alone.
fuzz: setup
	@UNTANGLE_FUZZERS=1 $(BUILD) --sanitize fuzzer --product untangle-fuzz --scratch-path .build/fuzz
	@.ci/fuzz $(FUZZ_SECONDS) $(FUZZ_TARGETS)

## Measure what RI gains, and write the tables of the documents: under an hour on two idle cores. Goes on where it was stopped.
study: build $(PYTHON)
	@$(PYTHON) Fixtures/study/study.py --tool $(UNTANGLE)

$(PYTHON):
	@python3 -m venv .build/study-python && $@ -m pip install --quiet --requirement Fixtures/study/requirements.txt

build: setup
	@$(BUILD) --product untangle

format:
	@swift format --in-place --recursive $(SOURCES)

lint:
	@swift format lint --strict --recursive $(SOURCES)
	@.ci/comments

## Install the Debian packages that are missing; elsewhere say what is needed.
setup:
	@missing=; for package in $(PACKAGES); do \
	    dpkg -s $$package >/dev/null 2>&1 || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	    if ! command -v apt-get >/dev/null; then \
	        echo "please install the equivalents of:$$missing" >&2; \
	        command -v pkg-config >/dev/null || exit 1; \
	    else \
	        sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	        echo "installing:$$missing"; \
	        $$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	    fi; \
	fi

clean:
	@rm -rf .build out
