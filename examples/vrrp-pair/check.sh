#!/bin/sh
# Passes when one router is the master and only one, the virtual MAC is behind its port of the switch,
# the host reaches the virtual address, and all of that moves when the master's cable is pulled.
. "$(dirname "$0")/../ask.sh"
vmac=00:00:5e:00:01:33

has_virtual_address() {
  on "$1" ip address show | grep -Fq ' 10.0.0.1/24 '
}
# master MASTER BACKUP
master() {
  has_virtual_address "$1" && ! has_virtual_address "$2"
}
# behind PORT: the switch has learned the virtual MAC there.
behind() {
  on sw1 bridge fdb show dev "$1" | grep -Fq "$vmac"
}
reach() {
  on h1 ping -c 3 -i 0.2 -W 1 10.0.0.1 >/dev/null &&
    on h1 ip neighbour show 10.0.0.1 | grep -Fq "$vmac"
}

expect 'r1 is the master, r2 is not' master r1 r2
expect "the switch has $vmac behind r1's port" behind eth1
expect 'h1 reaches 10.0.0.1, at that MAC' reach
on sw1 bridge fdb show dev eth1

trap 'on r1 ip link set dev eth1 up' EXIT
on r1 ip link set dev eth1 down
echo "pulled out: r1's cable"
expect 'r2 is the master, r1 is not' master r2 r1
expect "the switch has $vmac behind r2's port" behind eth2
expect 'h1 reaches 10.0.0.1, at that MAC' reach
on r1 ip link set dev eth1 up
echo 'plugged in again'
expect 'r1 is the master, r2 is not' master r1 r2
expect 'h1 reaches 10.0.0.1, at that MAC' reach
