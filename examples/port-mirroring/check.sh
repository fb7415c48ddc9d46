#!/bin/sh
# Passes when the analyser gets a copy of every frame between two hosts, both ways and each once,
# although neither their sources nor their destinations are its own.
. "$(dirname "$0")/../ask.sh"
h1=02:00:5e:00:53:01 h2=02:00:5e:00:53:02

reach() {
  on h1 ping -c 1 -W 1 10.0.0.2 >/dev/null
}
expect 'h1 reaches h2 through the switch' reach

seen=$(mktemp)
trap 'rm -f "$seen"' EXIT
on probe timeout 60 tcpdump -e -l -nn -i eth1 icmp >"$seen" 2>&1 &
listening() {
  grep -q 'listening on' "$seen"
}
expect 'the analyser listens' listening
on h1 ping -c 5 -i 0.2 -W 1 10.0.0.2 >/dev/null
# When the last one, of another length, is written, so are all before it.
on h1 ping -c 1 -s 8 -W 1 10.0.0.2 >/dev/null
complete() {
  grep -q 'ICMP echo reply, .*length 16$' "$seen"
}
eventually complete || :
on probe pkill -INT tcpdump || :
wait || :
cat "$seen"

# copies COUNT SOURCE DESTINATION WHAT
copies() {
  [ "$(grep -c "$2 > $3, .*ICMP echo $4, .*length 64\$" "$seen")" = "$1" ]
}
L2WIRE_PATIENCE=0
expect 'five requests from h1 to h2' copies 5 $h1 $h2 request
expect 'five replies from h2 to h1' copies 5 $h2 $h1 reply
