#!/bin/sh
# Passes when IS-IS and BGP are up between all three, packets take the direct cable, take the long way
# while that cable is pulled out at r1, and come back to it.
. "$(dirname "$0")/../ask.sh"

# adjacencies ROUTER COUNT
adjacencies() {
  [ "$(on "$1" vtysh -c 'show isis neighbor' | grep -c ' Up ')" = "$2" ]
}
# sessions ROUTER COUNT
sessions() {
  [ "$(on "$1" vtysh -c 'show bgp neighbors' | grep -c 'BGP state = Established')" = "$2" ]
}
# way FROM TO GATEWAY: the kernel's route, which is what packets take.
way() {
  on "$1" ip route get "$2" 2>&1 | grep -Fq " via $3 "
}
reach() {
  on r1 ping -c 3 -i 0.2 -W 1 -I 192.0.2.1 192.0.2.3 >/dev/null
}

for router in r1 r2 r3; do
  expect "$router has two IS-IS neighbours" adjacencies "$router" 2
  expect "$router has two BGP sessions" sessions "$router" 2
done
expect 'r1 reaches the network behind r3 by their cable' way r1 192.0.2.3 10.0.13.3
expect 'ping from behind r1 to behind r3' reach
on r1 vtysh -c 'show isis neighbor' -c 'show ip route 192.0.2.3/32'

trap 'on r1 ip link set dev eth2 up' EXIT
on r1 ip link set dev eth2 down
echo 'pulled out at r1: the cable r1-r3'
expect 'r1 reaches the network behind r3 by way of r2' way r1 192.0.2.3 10.0.12.2
expect 'r3 has noticed, too' way r3 192.0.2.1 10.0.23.2
expect 'ping from behind r1 to behind r3' reach
on r1 ip link set dev eth2 up
echo 'plugged in again'
expect 'r1 reaches the network behind r3 by their cable' way r1 192.0.2.3 10.0.13.3
expect 'ping from behind r1 to behind r3' reach
