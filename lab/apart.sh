#!/bin/sh
# Runs a command in network, mount and process namespaces of its own. It sees no devices, processes, namespaces
# and mounts of other tests, and all of its own end with it.
# Usage: apart.sh COMMAND [ARGUMENT...]
set -eu

# shellcheck disable=SC2016 # expanded inside
inside='
set -eu
# Namespaces that others made are mounts, which a copy would keep.
umount --recursive --lazy /run/netns 2>/dev/null || true
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
# A sysfs shows the devices of the namespace in which it was mounted. Container runtimes want cgroups in it.
mkdir /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
rmdir /run/cgroup
ip link set dev lo up
# No exec: this shell is process 1 here and reaps orphans, which mocha would not.
"$@"
exit $?
'
exec unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
  sh -c "$inside" apart "$@"
