#!/bin/sh
# First process of a container of the lab. It runs in the pod's network namespace, and in mount, pid and uts
# namespaces of its own. Its /usr and /etc are the machine's with the unpacked Debian packages over them. The
# rest is empty, and its writes stay in memory. It becomes the container's command.
# Arguments: host name, folder of packages, "rw" or "ro" for /proc/sys and /sys, number of volumes, source and
# target of each, then the command.
set -eu
name=$1 packages=$2 sysctl=$3 volumes=$4
shift 4

mount --make-rprivate /
mount -t tmpfs -o mode=755 l2wire /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount --bind /mnt/root /mnt/root
cd /mnt/root
mkdir dev etc mnt proc root run sys tmp usr var
# Not "/" as a whole: it contains the packages' folder, and no layer may contain another.
mount -t overlay -o "lowerdir=$packages/usr:/usr" l2wire usr
mount -t overlay -o "lowerdir=$packages/etc:/etc,upperdir=/mnt/upper,workdir=/mnt/work" l2wire etc
for link in bin lib lib64 sbin; do ln -s usr/$link $link; done
ln -s ../run var/run
mkdir -p var/lib var/log var/tmp

mount -t proc proc proc
# A runtime lets only privileged containers write there.
mount --bind proc/sys proc/sys
mount -o "remount,bind,$sysctl" proc/sys
mount -t sysfs -o "$sysctl" sysfs sys
for directory in run tmp; do mount -t tmpfs -o mode=1777 l2wire $directory; done
mount -t tmpfs -o mode=755 l2wire dev
device() { mknod -m 666 "dev/$1" c "$2" "$3"; }
device null 1 3
device zero 1 5
device full 1 7
device random 1 8
device urandom 1 9
device tty 5 0
mkdir dev/shm dev/pts
ln -s /proc/self/fd dev/fd

while [ "$volumes" -gt 0 ]; do
  mkdir -p "./$2"
  mount --bind "$1" "./$2"
  mount -o remount,bind,ro "./$2"
  shift 2
  volumes=$((volumes - 1))
done

hostname "$name"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >etc/hosts
mkdir mnt/old
pivot_root . mnt/old
umount -l /mnt/old
cd /
# The files that the packages' scripts make at installation, for users that exist in here.
install -d -m 755 /run/lldpd
install -d -m 755 -o frr -g frr /run/frr
exec "$@"
