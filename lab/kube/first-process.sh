#!/bin/sh
# The first process of a machine of the cluster, which is a node or the fabric. It starts in the machine's own
# namespaces and cgroups, sets up mounts and devices, and then reaps orphans.
# Usage: first-process.sh FOLDER SETUP [ARGUMENT...]      SETUP is sourced with FOLDER and the arguments
set -eu
folder=$1 setup=$2
shift 2

# This /proc shows our number outside. It is reported at the end, when all is ready.
read -r pid _ </proc/self/stat
exec 3>"$folder/pid"

# shellcheck source=/dev/null # fabric-setup.sh or node-setup.sh
. "$setup"

ip link set dev lo up
echo "$pid" >&3
exec 3>&-

# While it waits for one child it also reaps all others.
while :; do
  sleep 2147483647 &
  wait $!
done
