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

.PHONY: all setup ort build build-nocv test soak lint demo bench clean help

all: build

help:
	@sed -n 's/^# \{3\}//p' Makefile; printf 'make build        bin/vedette\nmake build-nocv   bin/vedette without OpenCV: every command but capture from video\nmake lint         vet, staticcheck, gofmt, import directions\nmake bench        the benchmarks of this machine\nmake soak         long tests\n'

setup:
	@scripts/setup.sh

ort:
	@scripts/ort.sh

# How long, and with which engine: make demo DURATION=60s ENGINE=gorgonia
DURATION ?= 20s
ENGINE   ?= auto
demo: build
	bin/vedette demo --duration $(DURATION) --engine $(ENGINE) --listen 127.0.0.1:0 --save demo-output

# The program works without ONNX Runtime, the tests do not.
ORT := $(if $(filter gorgonia,$(ENGINE)),--no-ort,--try-ort)
build:
	@scripts/setup.sh $(ORT)
	go build -tags $(TAGS) -ldflags '$(LDFLAGS)' -o bin/vedette ./cmd/vedette

build-nocv:
	@scripts/setup.sh --no-cv $(ORT)
	go build -ldflags '$(LDFLAGS)' -o bin/vedette ./cmd/vedette

# The first run needs no OpenCV and has the race detector: also whole plants,
# with cameras that are drawn, and the program itself. The second and third are
# what touches OpenCV, FFmpeg and the capture processes. A test that has to be
# skipped says so, and fails when CI=true. Most of the time is spent waiting for
# outages and time-outs, so four packages are tested at once, the longest first.
TESTFLAGS := -p 4 -shuffle=on -timeout 20m
test: setup
	go test -race $(TESTFLAGS) ./pipeline ./internal/bus ./cmd/... ./internal/board ./...
	go test -race -tags $(TAGS) $(TESTFLAGS) ./preprocess/...
	go test -tags $(TAGS),matprofile $(TESTFLAGS) ./internal/stagetest/... ./cmd/... ./pipeline/... ./ingest/... ./internal/cv/... ./training/...

# What takes too long for every change: servers of a NATS cluster, and a hub,
# killed again and again while detections are written and read; brokers that are
# away for half a minute; processes killed under load; how new the newest frame
# is when a run starts; all cameras away; cameras lost 200 times, cameras added
# and removed 1,000 times, and models changed 200 times, which must leave nothing
# behind.
soak:
	VEDETTE_SOAK=1 go test -count=1 -v -timeout 60m -run 'Cluster|HubKilled|HubCutOff' ./internal/bus
	VEDETTE_SOAK=1 go test -count=1 -v -timeout 60m -tags $(TAGS),matprofile -run LeakNothing ./ingest
	VEDETTE_SOAK=1 go test -count=1 -v -timeout 60m -tags $(TAGS) -run 'Fire|Window|Away|Latest' ./internal/stagetest
	VEDETTE_SOAK=1 go test -count=1 -v -timeout 60m -tags $(TAGS) -run 'AllCameras|CamerasComeAndGo' ./pipeline
	VEDETTE_SOAK=1 go test -count=1 -v -timeout 60m -run 'SwapsLeaveNothing|Latest' ./pipeline

STATICCHECK := go run honnef.co/go/tools/cmd/staticcheck@v0.7.0

lint: setup
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt needed: $$out"; exit 1; fi
	go vet ./...
	go vet -tags $(TAGS) ./...
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags $(TAGS) ./...
	go test -count=1 ./internal/archtest

# MODEL and SOURCE are a real model and a real clip, for figures that mean
# something: make bench MODEL=yolox_nano.onnx SOURCE=clip.mp4 (QUICK=1: a minute)
bench: build
	bin/vedette bench $(if $(QUICK),--quick) $(if $(MODEL),--model $(MODEL)) $(if $(SOURCE),--source $(SOURCE))

clean:
	rm -rf bin demo-output
