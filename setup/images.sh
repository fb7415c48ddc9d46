#!/bin/sh
# Builds the two images under their published names, for this machine's architecture.
# Usage: setup/images.sh [docker|podman|buildah]      default: the first that works
set -eu
cd "$(dirname "$0")/.."
. setup/engine.sh
# shellcheck disable=SC2086 # the words are alternatives
find_engine 'build images' ${1:-docker podman buildah}

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
  # Docker finds the ignore file by its name; the others are told.
  case $engine in
  docker) ignore= ;;
  *) ignore=--ignorefile=deploy/images/Dockerfile.dockerignore ;;
  esac
  # shellcheck disable=SC2086 # no word, or one
  DOCKER_BUILDKIT=1 $engine build --file deploy/images/Dockerfile $ignore --target $target \
    --build-arg TARGETARCH=$arch ${L2WIRE_BUILD_OPTIONS:-} --tag "$image" .
done
