#!/bin/sh
# Undoes up.sh: the cluster and its kubeconfig. Images that Docker built or fetched stay in its cache.
set -eu
cd "$(dirname "$0")/../.."
. test/e2e/tools.sh
need_docker 'remove the cluster'
ensure_tools
kind delete cluster --name "$cluster"
rm -f "$KUBECONFIG"
