# Two commands do everything on a fresh machine with Go and apt:
#   make demo    builds and shows the detector at work
#   make test    runs every test
SHELL := /bin/bash
TAGS  := cv,gocv_specific_modules,gocv_videoio
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)
# Third-party C++ headers of OpenCV warn under newer compilers; silence them,
# not our own code (which has no C++).
export CGO_CXXFLAGS ?= -O2 -w

# Packages that need no native library, tested with the race detector.
.PHONY: all setup build build-nocv test test-short lint fuzz demo bench clean help

all: build

help:
	@sed -n 's/^# \{3\}//p' Makefile; printf 'make build        bin/vedette\nmake build-nocv   bin/vedette without OpenCV: every command but capture\nmake lint         vet, staticcheck, gofmt, import directions\nmake bench        the benchmarks of this machine\n'

setup:
	@scripts/setup.sh

build: setup
	go build -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/vedette ./cmd/vedette

build-nocv:
	@scripts/setup.sh --no-cv
	go build -ldflags '$(LDFLAGS)' -o bin/vedette ./cmd/vedette

clean:
	rm -rf bin demo-output
