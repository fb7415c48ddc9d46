# shellcheck shell=sh disable=SC2034
# Sourced by the scripts beside it: the pinned versions, and where kind and kubectl come from.
. test/e2e/versions.env
. setup/engine.sh
# "make kind-up" and the tests never touch another cluster than this one.
cluster=l2wire
export KUBECONFIG="$PWD/.lab/kind.kubeconfig"
tools="$PWD/.lab/tools"
PATH="$tools:$PATH"

say() { echo "== $*"; }

need_docker() { find_engine "$1" docker; }

# kind in exactly the pinned version, out of its Go module; kubectl as it is on the PATH, else the tests'.
ensure_tools() {
  mkdir -p "$tools"
  if ! kind version 2>/dev/null | grep -q "^kind $KIND "; then
    say "Building kind $KIND"
    setup/go.sh
    go_path=$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/l2wire/go/bin
    PATH=$go_path GOBIN=$tools go install "sigs.k8s.io/kind@$KIND"
  fi
  if ! command -v kubectl >/dev/null 2>&1; then
    setup/setup.sh build
    ln -sf "$(node_modules/.bin/node test/e2e/kubectl.ts)" "$tools/kubectl"
  fi
}
