#!/bin/sh
# Passes when VM and host reach each other over the cable, and the VM's other NIC is not on it.
. "$(dirname "$0")/../ask.sh"

# reach FROM NIC TO
reach() {
  on "$1" ping -c 3 -W 1 -I "$2" "$3" >/dev/null
}
# neighbour WHO NIC ADDRESS MAC
neighbour() {
  on "$1" ip neighbour show "$3" dev "$2" | grep -Fq "$4"
}

expect 'h1 reaches r1 over the cable' reach h1 eth1 10.0.0.1
expect 'and it is the NIC ge0 that answers' neighbour h1 eth1 10.0.0.1 02:00:5e:00:53:11
expect 'r1 reaches h1 over the cable' reach r1 ge0 10.0.0.2
