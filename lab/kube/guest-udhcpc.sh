#!/bin/sh
# udhcpc runs this when it gets or loses an address. The variables are udhcpc's.
# shellcheck disable=SC2154
case $1 in
deconfig) ip address flush dev "$interface" scope global ;;
bound | renew)
  ip address flush dev "$interface" scope global
  [ -z "$mtu" ] || ip link set dev "$interface" mtu "$mtu"
  ip address add "$ip/${mask:-24}" dev "$interface"
  # shellcheck disable=SC2086 # destination and gateway in turn
  set -- $staticroutes
  # A server that sends these means them instead of the router option (RFC 3442).
  if [ $# = 0 ]; then
    for gateway in $router; do set -- "$@" 0.0.0.0/0 "$gateway"; done
  fi
  while [ $# -ge 2 ]; do
    case $2 in
    0.0.0.0) ip route replace "$1" dev "$interface" ;;
    *)
      # A gateway may lie outside the address's prefix.
      ip route replace "$1" via "$2" dev "$interface" onlink
      ;;
    esac
    shift 2
  done
  : >/etc/resolv.conf
  # All search domains, if the server sends them.
  [ -z "${search:-$domain}" ] || echo "search ${search:-$domain}" >>/etc/resolv.conf
  for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
  ;;
esac
