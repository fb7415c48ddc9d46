#!/bin/sh
# Copies the manifests into a folder, with images by digest. A release ships these.
# Usage: setup/pin-images.sh FOLDER AGENT-DIGEST SIDECAR-DIGEST
set -eu
if [ $# != 3 ]; then
  echo 'Usage: setup/pin-images.sh FOLDER AGENT-DIGEST SIDECAR-DIGEST' >&2
  exit 2
fi
folder=$(realpath -m "$1")
agent=$2
sidecar=$3
cd "$(dirname "$0")/.."
for digest in "$agent" "$sidecar"; do
  hex=${digest#sha256:}
  case $hex in
  "$digest" | *[!0-9a-f]*) hex= ;;
  esac
  if [ ${#hex} != 64 ]; then
    echo "Cannot pin an image to \"$digest\", expected sha256: and 64 hex digits" >&2
    exit 1
  fi
done
if [ -e "$folder" ]; then
  echo "Cannot write to \"$folder\": it is there already, expected a new folder" >&2
  exit 1
fi
mkdir -p "$folder"
cp -R deploy kubevirt-patches LICENSE "$folder"
# Kustomize writes a digest in place of the tag.
kustomization=$folder/deploy/base/kustomization.yaml
sed -i "s/^\( *\)newTag: .*/\1digest: $agent/" "$kustomization"
# A patch of the KubeVirt object contains its image itself.
grep -rlE 'ghcr\.io/l2wire/sidecar:' "$folder/kubevirt-patches" --include='*.yaml' |
  xargs sed -i "s#\(ghcr\.io/l2wire/sidecar:[0-9A-Za-z.-]*\)#\1@$sidecar#"
if ! grep -q "digest: $agent" "$kustomization"; then
  echo "Cannot pin the agent's image: no newTag in deploy/base/kustomization.yaml" >&2
  exit 1
fi
