#!/bin/sh
# Prepares a Debian machine to build and run the project: Debian packages, then npm's. It prints what it
# installs and why before it does. Without root or apt-get it lists what is missing and stops.
# Usage: setup/setup.sh [build|images|demo|test|cluster|kubevirt|bench]
set -eu
# An ordinary user's PATH lacks an administrator's folders.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
cd "$(dirname "$0")/.."
what=${1:-test}

# package | command that shows it is there | why
packages='
nodejs|node|runs npm, which brings the Node 24 that the project uses
npm|npm|installs the libraries of package-lock.json
'
machine='
iproute2|ip|makes and joins the network devices
procps|sysctl|silences the stack of the namespaces that tests make
ethtool|ethtool|has checksums made where nobody else would
nftables|nft|lets the tunnels between nodes accept their far ends alone
util-linux|nsenter|runs commands in a network namespace
tcpdump|tcpdump|receives frames for the cable tester, captures wires
tcpreplay|tcpreplay|sends frames for the cable tester
qemu-system-x86|qemu-system-x86_64|runs the virtual machines
libvirt-daemon|libvirtd|defines the virtual machines as virt-launcher does
libvirt-daemon-driver-qemu|/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so|lets libvirt run QEMU
libvirt-clients|virsh|starts the virtual machines, validates their XML
libxml2-utils|xmllint|reads libvirt'"'"'s schema for virt-xml-validate
busybox-static|/bin/busybox|is the user space of the guests
cpio|cpio|packs the guests'"'"' file system
kmod|depmod|finds the kernel modules that the guests need
containernetworking-plugins|/usr/lib/cni/bridge|has the CNI plugins that ours are tested beside, and IPAM plugins
dnsmasq-base|dnsmasq|is the DHCP server of VMs on pod networks, and across a wire
isc-dhcp-client|dhclient|asks for IPv6 addresses as guests do
perl-base|perl|reads and writes taps as QEMU does, and sends what a NIC is to cut
'
case $what in
build | images) ;;
*) packages="$packages$machine" ;;
esac
[ "$what" = bench ] && packages="$packages
iperf3|iperf3|measures throughput"

case $what in cluster | kubevirt) packages="$packages
containerd|containerd|runs containers that our plugin is called for
runc|runc|starts them
curl|curl|fetches Go where there is none
unzip|unzip|unpacks it
ca-certificates|/etc/ssl/certs/ca-certificates.crt|checks whom it comes from" ;;
esac

[ "$what" = kubevirt ] && packages="$packages
gcc|gcc|compiles the parts of KubeVirt that are C
libc6-dev|/usr/include/stdlib.h|has what they include
libvirt-dev|/usr/include/libvirt/libvirt.h|lets virt-launcher speak with libvirt
pkg-config|pkg-config|says where that is
openssl|openssl|signs the certificates of the control plane and the nodes"

# If there is no container engine.
images='
mmdebstrap|mmdebstrap|makes the Debian root that an image lies on
binutils|strip|takes the symbols off Node'
case $what in
images | kubevirt) packages="$packages$images" ;;
esac
[ "$what" = kubevirt ] && packages="$packages
libcap2-bin|setcap|gives virt-launcher its capability
e2fsprogs|mke2fs|makes the file system of the disk that VMs of the examples boot
qemu-utils|qemu-img|packs that disk"

missing=
list=
old_ifs=$IFS
IFS='
'
for line in $packages; do
  name=${line%%|*}
  rest=${line#*|}
  command -v "${rest%%|*}" >/dev/null 2>&1 && continue
  missing="$missing $name"
  list="$list
  $name: ${rest#*|}"
done
IFS=$old_ifs

if [ -n "$missing" ]; then
  echo "Debian packages needed that are not here:$list"
  if [ "$(id -u)" != 0 ]; then
    echo "Cannot install them without root. As root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "Cannot install them without apt-get, expected Debian 12. Install them by hand:$missing" >&2
    exit 1
  fi
  echo "Installing them with apt-get."
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086 # one word per package
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
if [ "$what" = images ] && [ "$(id -u)" != 0 ]; then
  echo "Cannot make images without a container engine: this needs root" >&2
  exit 1
fi
if [ "$what" != build ] && [ "$(id -u)" != 0 ]; then
  echo "Cannot make network namespaces and devices: this needs root" >&2
  exit 1
fi

# node_modules follows the lock file. A stamp saves ten seconds if nothing changed.
stamp=node_modules/.l2wire-lock
if ! cmp -s package-lock.json "$stamp" 2>/dev/null; then
  echo "Installing the libraries of package-lock.json with npm ci."
  npm ci --no-audit --no-fund --loglevel=error
  # npm before 11, such as Debian's 9.2, drops this link together with the package that is for the other architecture.
  for node in node_modules/node-linux-*; do
    ln -sf "../${node##*/}/bin/node" node_modules/.bin/node
  done
  cp package-lock.json "$stamp"
fi

case $what in cluster | kubevirt) setup/go.sh ;; esac
