#!/bin/busybox sh
# shellcheck shell=sh # of a guest's packages /bin/sh may be Debian's
# PID 1 of the lab's guest. Its NICs are up and mute, its shell is on the virtio port "l2wire.guest.0":
#   request   VERB SIZE ARGUMENT \n SIZE bytes       run LIMIT (a script) | put PATH (a file)
#   answer    CODE SIZE SIZE \n standard output, standard error
# The kernel's messages have the serial console to themselves.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
# Before any NIC exists, because an IPv6 link sends DAD, MLD and RS as soon as it goes up.
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
# The guest measures, so it must keep the order of frames itself. Debian's fq_codel lets one flow overtake
# another. A batch from NAPI reaches a packet socket late for frames that no protocol wants
# (__netif_receive_skb_list_core).
echo pfifo_fast >/proc/sys/net/core/default_qdisc
echo 1 >/proc/sys/net/core/gro_normal_batch
while read -r module; do insmod "/modules/$module"; done </modules/order
for nic in /sys/class/net/*; do ip link set dev "${nic##*/}" up; done
echo '<1>l2wire: guest ready' >/dev/kmsg

port=
while [ -z "$port" ]; do
  for name in /sys/class/virtio-ports/*/name; do
    if [ "$(cat "$name" 2>/dev/null)" = l2wire.guest.0 ]; then
      port=${name%/name}
      port=/dev/${port##*/}
    fi
  done
  [ -n "$port" ] || sleep 0.02
done

cd /tmp
# Stays open: with its last close the kernel throws away what has come, a request of who has just connected.
exec 3<>"$port"
while :; do
  # An empty read means that nobody is connected on the other side.
  while read -r verb size argument <&3; do
    dd bs="$size" count=1 iflag=fullblock <&3 >/tmp/request 2>/dev/null
    case $verb in
      run) timeout -s KILL "$argument" sh /tmp/request </dev/null >/tmp/out 2>/tmp/err 3<&- ;;
      put) cp /tmp/request "$argument" </dev/null >/tmp/out 2>/tmp/err ;;
      *) echo "unknown verb: $verb" >/tmp/err; false ;;
    esac
    code=$?
    { echo "$code $(stat -c %s /tmp/out) $(stat -c %s /tmp/err)"; cat /tmp/out /tmp/err; } >&3
  done
  sleep 0.05
done
