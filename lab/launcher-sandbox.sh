#!/bin/sh
# PID 1 of a launcher's sandbox: already in the pod's network namespace with its /sys, and in mount, pid and
# uts namespaces of its own. Everything it writes is in memory, so the sandbox's end removes it all.
# Arguments: host name, kernel, initrd, capabilities cache, private directory, files of devices as one word,
# then the names of the disks.
set -eu
hostname=$1 kernel=$2 initrd=$3 cache=$4 private=$5 devices=$6
shift 6

# libvirt migrates nothing to where it says it is itself: by the host's name, and by its UUID below.
echo "$hostname" >/proc/sys/kernel/hostname

# The devices from a device plugin, copied like a container runtime does: number, owner and mode.
given=$(for file in $devices; do stat -c '%n 0x%t 0x%T %u:%g %a' "$file"; done)

mkdir -p /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
for directory in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /run; do
  mount -t tmpfs -o mode=755 l2wire "$directory"
done

# The devices of a virt-launcher, with access for user 107. The machine's own /dev stays as it is.
numbers() { stat -c '0x%t 0x%T' "$1"; }
kvm=$([ -c /dev/kvm ] && numbers /dev/kvm || :)
vhost=$([ -c /dev/vhost-net ] && numbers /dev/vhost-net || :)
mount -t tmpfs -o mode=755 l2wire /dev
mkdir -m 755 /dev/net /dev/pts
mkdir -m 1777 /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd
device() { mknod -m 666 "/dev/$1" c "$2" "$3"; }
device null 1 3
device zero 1 5
device full 1 7
device random 1 8
device urandom 1 9
device tty 5 0
device net/tun 10 200
# Unquoted: major and minor are two words.
[ -z "$kvm" ] || device kvm $kvm
[ -z "$vhost" ] || device vhost-net $vhost
echo "$given" | while read -r file major minor owner mode; do
  [ -n "$file" ] || continue
  mknod -m "$mode" "/dev/${file##*/}" c "$major" "$minor"
  chown "$owner" "/dev/${file##*/}"
done

boot=/run/kubevirt/container-disks/kernel-boot
mkdir -p "$boot" "$private" /run/kubevirt-hooks /run/kubevirt-private/vmi-disks /tmp
cp "$kernel" "$boot/vmlinuz"
cp "$initrd" "$boot/initrd"
for disk in "$@"; do
  mkdir "/run/kubevirt-private/vmi-disks/$disk"
  truncate -s 1M "/run/kubevirt-private/vmi-disks/$disk/disk.img"
done
chown -R 107:107 /run/kubevirt-private "$private"

mkdir -p /var/cache/libvirt/qemu/capabilities /run/l2wire/drivers
cp "$cache"/*.xml /var/cache/libvirt/qemu/capabilities/ 2>/dev/null || :
# Only QEMU of libvirtd's drivers, as in virtqemud: the others probe the machine for seconds.
for directory in /usr/lib/*/libvirt/connection-driver /usr/lib64/libvirt/connection-driver; do
  driver=$directory/libvirt_driver_qemu.so
  [ ! -e "$driver" ] || ln -s "$driver" /run/l2wire/drivers/
done

# libvirt looks up its compiled-in user (Debian: "libvirt-qemu") before it reads that we want 107.
cat >/run/l2wire/passwd <<END
root:x:0:0:root:/root:/bin/sh
qemu:x:107:107:qemu:/:/bin/sh
libvirt-qemu:x:107:107:qemu:/:/bin/sh
END
cat >/run/l2wire/group <<END
root:x:0:
tty:x:5:
qemu:x:107:
kvm:x:107:
libvirt-qemu:x:107:
END
mount --bind /run/l2wire/passwd /etc/passwd
mount --bind /run/l2wire/group /etc/group

cat >/etc/libvirt/qemu.conf <<END
user = "+107"
group = "+107"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
clear_emulator_capabilities = 1
namespaces = [ ]
cgroup_controllers = [ ]
stdio_handler = "file"
END
cat >/etc/libvirt/libvirtd.conf <<END
listen_tls = 0
auth_unix_rw = "none"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
log_outputs = "4:stderr"
END

export LIBVIRT_DRIVER_DIR=/run/l2wire/drivers HOME=/run/l2wire
libvirtd --config /etc/libvirt/libvirtd.conf &
# QEMU detaches itself, so it becomes our child. libvirtd waits until we reap it.
wait
