#!/bin/sh
# Copies out of a Debian root what programs need to run, and nothing that installs, translates or explains: no apt, no
# Perl, no manuals. Runs in that root, whoever made it (Dockerfile, setup/images.sh).
# Usage: keep.sh TARGET PATH...     files and folders; with a program comes what the dynamic linker loads for it
set -eu
target=$1
shift
list=$(mktemp)
owners=$(mktemp)
trap 'rm -f "$list" "$owners"' EXIT

for path in "$@"; do
  find "$path" ! -type d
  # What is no program, or has no libraries, is said to be so with an exit code.
  if [ -f "$path" ] && [ -x "$path" ]; then ldd "$path" 2>/dev/null | grep -o '/[^ ]*' || :; fi
done | while read -r file; do
  # The name and what it leads to, each as it is behind Debian's links to /usr: a folder copied in a link's place would
  # hide it.
  echo "$(readlink -f "$(dirname "$file")")/$(basename "$file")"
  readlink -f "$file"
done | LC_ALL=C sort -u >"$list"
mkdir -p "$target"
sed 's,^/,,' "$list" | tar -C / -cf - -T - | tar -C "$target" -xpf -
for name in bin lib lib64 sbin; do
  [ ! -d "$target/usr/$name" ] || ln -sfn "usr/$name" "$target/$name"
done

# Scanners of images read here which packages it is from; dpkg may know a file by its name before the links to /usr.
while read -r file; do
  dpkg-query -S "$file" 2>/dev/null || dpkg-query -S "${file#/usr}" 2>/dev/null || :
done <"$list" | sed '/^diversion by/d; s/: .*//' | tr ',' '\n' | sed 's/^ *//' | LC_ALL=C sort -u >"$owners"
mkdir -p "$target/var/lib/dpkg"
# shellcheck disable=SC2046 # one word per package
dpkg-query -s $(cat "$owners") >"$target/var/lib/dpkg/status"
