# What people type. Each target does all the set-up it needs on a fresh Debian machine.
.PHONY: demo test bench build setup check clean
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

demo: setup-demo build ## boot real VMs on wires, send every frame class through, print the table
	node lab/demo.ts

test: setup-test build ## everything but the benchmarks
	npm run --silent ok

bench: setup-bench build ## side by side with peers, ratios from one run
	node bench/run.ts

setup-%:
	@setup/setup.sh $*

build: setup-build ## the five executables in dist/bin
	@node build/build.ts

check: build
	npm run --silent check

clean:
	rm -rf dist .lab
