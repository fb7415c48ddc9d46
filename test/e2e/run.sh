#!/bin/sh
# Runs the use cases on the cluster of up.sh. The last one takes l2wire off; up.sh brings it back.
set -eu
cd "$(dirname "$0")/../.."
. test/e2e/tools.sh
need_docker 'test on a cluster'
if ! docker inspect "$cluster-control-plane" >/dev/null 2>&1; then
  echo "Cannot test on a cluster: there is no kind cluster $cluster; make it with make kind-up." >&2
  exit 1
fi
ensure_tools
make --silent build
exec node_modules/.bin/mocha --timeout 900000 --bail 'test/e2e/*.test.ts'
