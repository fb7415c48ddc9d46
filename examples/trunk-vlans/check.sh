#!/bin/sh
# Passes when each customer reaches its own far end, nobody else hears of it, and the frames on the
# cable have the tags that they should.
. "$(dirname "$0")/../ask.sh"

# reach CUSTOMER
reach() {
  on r1 ip netns exec "$1" ping -c 3 -W 1 10.0.0.2 >/dev/null
}
# requests CUSTOMER: how many ICMP echo requests r2 has got for it.
requests() {
  on r2 ip netns exec "$1" awk '/^Icmp: [0-9]/ { print $10 }' /proc/net/snmp
}

for customer in red blue green; do
  expect "$customer reaches its far end" reach $customer
done

# Nothing is to come any more.
patience=${L2WIRE_PATIENCE:-60}
L2WIRE_PATIENCE=0

# hears_alone CUSTOMER OTHER OTHER: it gets its three requests, and the others none of them, although
# all have the same addresses and the same MAC.
hears_alone() {
  mine=$(requests "$1") first=$(requests "$2") second=$(requests "$3")
  reach "$1" && [ "$(requests "$1")" = $((mine + 3)) ] &&
    [ "$(requests "$2") $(requests "$3")" = "$first $second" ]
}
expect 'only red hears red' hears_alone red blue green
expect 'only blue hears blue' hears_alone blue red green
expect 'only green hears green' hears_alone green red blue

# It may listen too late.
L2WIRE_PATIENCE=$patience
seen=$(mktemp)
trap 'rm -f "$seen"' EXIT
# tagged CUSTOMER FILTER: r2 sees its requests at ge0 as frames that this filter of tcpdump takes.
tagged() {
  on r2 timeout 15 tcpdump -Z root -c 2 -e -nn -i ge0 "$2 and icmp[icmptype] == icmp-echo" \
    >"$seen" 2>/dev/null &
  on r1 ip netns exec "$1" ping -c 6 -W 1 10.0.0.2 >/dev/null
  wait
  cat "$seen"
  [ "$(grep -c 'ICMP echo request' "$seen")" = 2 ]
}
expect 'red has tag 10' tagged red 'vlan 10'
expect 'blue has tag 20' tagged blue 'vlan 20'
expect 'green has tag 100 and tag 10 within it' tagged green 'vlan 100 and vlan 10'
