#!/bin/sh
# Passes when the VM has its pod's address by DHCP, and any other pod reaches it there.
. "$(dirname "$0")/../ask.sh"

# address WHO: its IPv4 address on the pod network.
address() {
  on "$1" ip -o -4 address show scope global | sed -n 's|.* inet \([0-9.]*\)/.*|\1|p' | head -n 1
}
# has_address WHO
has_address() {
  [ -n "$(address "$1")" ]
}
# reach FROM TO
reach() {
  on "$1" ping -c 3 -W 1 "$(address "$2")" >/dev/null
}
# serve WHO TO TEXT
serve() {
  on "$2" timeout 5 busybox wget -q -O - "http://$(address "$1")/" | grep -Fq "$3"
}

expect 'the VM web has an address by DHCP' has_address web
expect 'h1 reaches web there' reach h1 web
expect 'and web serves its page to h1' serve web h1 'served by the VM'
expect 'web reaches h1' reach web h1
