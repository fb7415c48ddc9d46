# What people type. Each target does all the set-up it needs on a fresh Debian machine.
.PHONY: help bench-cluster test-kubevirt demo test test-cluster test-lab bench build check images cluster-up cluster-down cluster-shell kind-up kind-down e2e clean
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

help: ## this text
	@sed -n 's/^\([a-z0-9%-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: setup-demo build ## boot real VMs on wires, send every frame class through, print the table
	@node lab/demo.ts

test: setup-test build ## types, lint, core, processes, kernel, random sequences and VMs
	@npm run --silent ok && echo 'All suites passed.'

test-cluster: setup-cluster build ## with a real API server and the real Multus, which it builds once
	@npm run --silent test:cluster

test-lab: setup-test build ## VMs of every shape, pod networks and distributions' daemons beside them
	@npm run --silent test:lab

bench: setup-bench build ## side by side with peers, ratios from one run
	@node bench/run.ts

bench-cluster: cluster-up ## in that of cluster-up: pods, VMs and memory with cables and without
	@node bench/run.ts cluster

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

cluster-up: setup-kubevirt build ## a whole cluster on this machine, without Docker: Kubernetes, Multus, KubeVirt, l2wire
	@node lab/kube/up.ts

test-kubevirt: cluster-up ## with real VMs in that cluster, which stays
	@npm run --silent test:kubevirt

cluster-shell: ## a shell in it: kubectl, kubectl-l2wire, virtctl
	@node lab/kube/shell.ts

cluster-down: ## removes it
	@node lab/kube/down.ts

kind-up: ## a cluster in Docker with Multus, KubeVirt and l2wire; a VM and a container see each other
	@test/e2e/up.sh

kind-down: ## removes that cluster
	@test/e2e/down.sh

e2e: ## the use cases on the cluster of kind-up, which it takes l2wire off at the end
	@test/e2e/run.sh

clean: ## what building and testing left in this folder, and the cluster of cluster-up
	@[ ! -d .lab/kube ] || node lab/kube/down.ts
	rm -rf dist .lab coverage
