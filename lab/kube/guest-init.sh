#!/bin/busybox sh
# shellcheck shell=sh
# PID 1 of the cluster's guest (kernelBoot). Its agent speaks on KubeVirt's own port, a shell on the serial console.
# Of the kernel's command line it reads:
#   l2w.name=NAME          the host's name
#   l2w.ip=NIC:ADDRESS/N   an address; may stand several times
#   l2w.lldp=NIC           lldpd speaks on this NIC
#   l2w.dhcp=NIC           asks for an address there; default eth0, "none" asks nobody
#   l2w.ipv6=off           no link speaks IPv6, which it else does as soon as it is up
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /var/lib /var/log /root
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ln -sf /proc/self/mounts /etc/mtab

name=guest dhcp=eth0 lldp='' addresses='' ipv6=on
read -r line </proc/cmdline
for word in $line; do
  case $word in
  l2w.name=*) name=${word#*=} ;;
  l2w.ip=*) addresses="$addresses ${word#*=}" ;;
  l2w.lldp=*) lldp=${word#*=} ;;
  l2w.dhcp=*) dhcp=${word#*=} ;;
  l2w.ipv6=*) ipv6=${word#*=} ;;
  esac
done
hostname "$name"
if [ "$ipv6" = off ]; then
  # Before any NIC exists.
  echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
  echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
fi
# Frames keep their order, for measurements. The lab's guest-init.sh has the reasons.
echo pfifo_fast >/proc/sys/net/core/default_qdisc
echo 1 >/proc/sys/net/core/gro_normal_batch
while read -r module; do insmod "/modules/$module"; done </modules/order
for nic in /sys/class/net/*; do ip link set dev "${nic##*/}" up; done
for address in $addresses; do ip address add "${address#*:}" dev "${address%%:*}"; done

# Its port appears and disappears with each connection.
while :; do
  for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ] || continue
    qemu-ga --method virtio-serial --path "/dev/${port##*/}" --statedir /run >>/tmp/qemu-ga.log 2>&1
  done
  sleep 1
done &
if [ "$dhcp" != none ] && [ -e "/sys/class/net/$dhcp" ]; then
  # It keeps asking, because a node may be slow to answer.
  udhcpc -i "$dhcp" -f -S -t 20 -T 1 -A 3 -O mtu -O staticroutes -O search >/tmp/udhcpc.log 2>&1 &
fi
if [ -n "$lldp" ]; then
  cat >/etc/lldpd.d/l2wire.conf <<EOF
configure system interface pattern $lldp
configure lldp portidsubtype ifname
configure lldp tx-interval 2
configure lldp tx-hold 3
EOF
  lldpd
fi
echo '<1>l2wire: guest ready' >/dev/kmsg
while :; do
  # Without a serial console there is no shell to open.
  setsid sh -c 'exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
  sleep 1
done
