#!/bin/sh
# Passes when VM and container see each other by LLDP: the neighbour's name, and which of its ports.
. "$(dirname "$0")/../ask.sh"

# sees WHO NIC NEIGHBOUR PORT
sees() {
  neighbours=$(on "$1" lldpcli -f keyvalue show neighbors) || return 1
  echo "$neighbours" | grep -Fqx "lldp.$2.chassis.name=$3" &&
    echo "$neighbours" | grep -Fqx "lldp.$2.port.ifname=$4"
}

expect 'the container h1 sees the VM r1, port ge0, at its eth1' sees h1 eth1 r1 ge0
expect 'the VM r1 sees the container h1, port eth1, at its ge0' sees r1 ge0 h1 eth1
on h1 lldpcli show neighbors summary
on r1 lldpcli show neighbors summary
