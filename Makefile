# What people type. Each target does all the set-up it needs on a fresh Debian machine.
.PHONY: help demo test test-cluster test-examples bench build check images kind-up kind-down e2e clean
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

help: ## this text
	@sed -n 's/^\([a-z0-9%-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: setup-demo build ## boot real VMs on wires, send every frame class through, print the table
	@node lab/demo.ts

test: setup-test build ## types, lint, core, processes, kernel, random sequences and VMs
	@npm run --silent ok && echo 'All suites passed.'

test-cluster: setup-cluster build ## with a real API server and the real Multus, which it builds once
	@npm run --silent test:cluster

test-examples: setup-test build ## every example on this machine, and with a cable out; the lab they run on
	@npm run --silent test:examples

example-%: setup-test build ## one of them: make example-lldp
	@node lab/run-example.ts $*

bench: setup-bench build ## side by side with peers, ratios from one run
	@node bench/run.ts

bench-%: setup-bench build ## one part of it: make bench-healing
	@node bench/run.ts $*

setup-%:
	@setup/setup.sh $*

build: setup-build ## the executables in dist/bin
	@echo 'Building dist/bin.'
	@node build/build.ts

check: build ## types, lint, format, unused code
	npm run --silent check

images: ## the two container images, as they are published
	@setup/images.sh

kind-up: ## a cluster in Docker with Multus, KubeVirt and l2wire; a VM and a container see each other
	@test/e2e/up.sh

kind-down: ## removes that cluster
	@test/e2e/down.sh

e2e: ## the use cases on the cluster of kind-up, which it takes l2wire off at the end
	@test/e2e/run.sh

clean: ## what building and testing left in this folder
	rm -rf dist .lab coverage
