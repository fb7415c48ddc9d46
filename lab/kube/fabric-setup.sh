# Sourced by first-process.sh: the fabric sees this machine's files, but processes and devices of its own.
# shellcheck shell=sh disable=SC2154 # $folder is first-process.sh's
set -eu
hostname fabric
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/l2w/log /run/lock
mount --bind "$folder/log" /run/l2w/log
