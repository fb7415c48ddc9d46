#!/bin/sh
# Makes sure that there is Go for the cluster tests. Debian 12's is too old to update itself, as Go does from
# 1.21 on. Without another one, the release comes from the Go module proxy, as it would then.
set -eu
release=1.26.8
cache=${XDG_CACHE_HOME:-$HOME/.cache}/l2wire

for go in go "$cache/go/bin/go"; do
  # "go version go1.26.8 linux/amd64"
  minor=$("$go" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -ge 21 ] && exit 0
done

case $(uname -m) in
x86_64) arch=amd64 sum=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7 ;;
aarch64) arch=arm64 sum=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99 ;;
*)
  echo "Cannot fetch Go for $(uname -m). Install Go $release or newer by hand." >&2
  exit 1
  ;;
esac
proxy=$(echo "${GOPROXY:-https://proxy.golang.org}" | sed 's/[,|].*//')
name=golang.org/toolchain@v0.0.1-go$release.linux-$arch
echo "Fetching Go $release into $cache/go: it builds what the cluster tests and kind need."
mkdir -p "$cache"
new=$(mktemp -d "$cache/go.XXXXXX")
trap 'rm -rf "$new"' EXIT
curl -fsSo "$new/go.zip" "$proxy/$(echo "$name" | sed 's#@#/@v/#').zip"
echo "$sum  $new/go.zip" | sha256sum -c --quiet -
unzip -q "$new/go.zip" -d "$new"
# Go itself fixes these, too, because a module's archive cannot hold them: modes, and files named go.mod.
find "$new/$name" -name _go.mod -execdir mv _go.mod go.mod \;
chmod -R a+x "$new/$name/bin" "$new/$name/pkg/tool"
rm -rf "$cache/go"
mv "$new/$name" "$cache/go"
