#!/bin/sh
# Builds the two images under their published names, for this machine's architecture.
# Usage: setup/images.sh [docker|podman|buildah|debian]      default: the first that works
# "debian" needs no container engine but root on a Debian machine: it reads the same Dockerfile, makes its bases by
# mmdebstrap and writes dist/images/agent.tar and sidecar.tar, which "ctr images import" and "docker load" read.
set -eu
cd "$(dirname "$0")/.."
. setup/engine.sh
choose() {
  for engine in docker podman buildah; do
    engine_works $engine && return
  done
  engine=debian
}
case ${1:-} in
'') choose ;;
debian) engine=debian ;;
*) find_engine 'build images' "$1" ;;
esac

if [ "$engine" = debian ]; then
  setup/setup.sh images
  PATH=$PWD/node_modules/.bin:$PATH
  export PATH
  [ -x dist/bin/l2wire ] || node build/build.ts
  exec node setup/debian-images.ts
fi

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*)
  echo "Cannot build images for $(uname -m), expected x86_64 or aarch64." >&2
  exit 1
  ;;
esac
version=$(sed -n 's/^ *newTag: *//p' deploy/base/kustomization.yaml)
for target in agent sidecar; do
  image=ghcr.io/l2wire/$target:$version
  echo "Building $image with $engine."
  # Docker finds the ignore file by its name. The others need an option.
  case $engine in
  docker) ignore= ;;
  *) ignore=--ignorefile=deploy/images/Dockerfile.dockerignore ;;
  esac
  # shellcheck disable=SC2086 # no word, or one
  DOCKER_BUILDKIT=1 $engine build --file deploy/images/Dockerfile $ignore --target $target \
    --build-arg TARGETARCH=$arch ${L2WIRE_BUILD_OPTIONS:-} --tag "$image" .
done
