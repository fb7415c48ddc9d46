# Sourced by first-process.sh. A node has this machine's root as its own, with its writes beside it. It sees
# none of the machine's containers, kubelets and CNI plugins, no KVM, and copies of the machine's switches,
# which it may set without an effect outside.
# Arguments: NAME STATE BIN SYSCTLS DNS "MOUNTPOINT TYPE OPTIONS"...      SYSCTLS is one word
# shellcheck shell=sh disable=SC2154 # $folder is first-process.sh's
set -eu
name=$1 state=$2 bin=$3 sysctls=$4 dns=$5
shift 5
root=$folder/root
disk=$folder/disk

hostname "$name"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/run/lock" "$root/run/l2w/log" "$root/run/l2w/bin"
mount --bind "$folder/log" "$root/run/l2w/log"
mount --bind "$bin" "$root/run/l2w/bin"

# Data that a node keeps over a restart. An overlay cannot be the upper layer of the containers' own.
for path in etc/cni etc/containerd etc/kubernetes opt/cni var/lib/cni var/lib/containerd var/lib/kubelet \
  var/lib/kubevirt var/lib/l2wire var/log/containers var/log/pods; do
  mkdir -p "$disk/$path" "$root/$path"
  mount --bind "$disk/$path" "$root/$path"
done

# A node must not see the cluster's own keys and the other nodes' disks.
mkdir -p "$root$state"
mount -t tmpfs -o mode=0 tmpfs "$root$state"

mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/net" "$root/dev/mqueue"
mkdir -m 1777 "$root/dev/shm"
for device in null zero full random urandom tty kmsg fuse vhost-net net/tun; do
  [ ! -c "/dev/$device" ] || cp -a "/dev/$device" "$root/dev/$device"
done
chmod 666 "$root/dev/net/tun"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"

# Hierarchies of cgroups, as on this machine. They show only the node's part.
case $1 in
'/sys/fs/cgroup '*) ;;
*) mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup" ;;
esac
for words in "$@"; do
  # shellcheck disable=SC2086 # three words
  set -- $words
  mkdir -p "$root$1"
  mount -t "$2" -o "$3" cgroup "$root$1"
  # "cpu,cpuacct" must be found under each of its names.
  for controller in $(echo "${1##*/}" | tr , ' '); do
    [ -e "$root${1%/*}/$controller" ] || ln -s "${1##*/}" "$root${1%/*}/$controller"
  done
done

# A kubelet sets these at each start. They belong to the whole machine, so the node gets copies.
for key in $sysctls; do
  file=/proc/sys/$key
  own=$root/run/l2w/sys/$key
  [ -e "$file" ] || continue
  mkdir -p "${own%/*}"
  cat "$file" >"$own"
  mount --bind "$own" "$root$file"
done
# A node that was off has another boot ID when it is on again.
cat /proc/sys/kernel/random/uuid >"$root/run/l2w/boot-id"
mount --bind "$root/run/l2w/boot-id" "$root/proc/sys/kernel/random/boot_id"

cd "$root"
mkdir -p run/l2w/machine
pivot_root . run/l2w/machine
umount -l /run/l2w/machine
# The pod and the node must see each other's mounts.
mount --make-rshared /

# These may be links to missing files.
rm -f /etc/hostname /etc/hosts /etc/resolv.conf /etc/machine-id
echo "$name" >/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts
echo "nameserver $dns" >/etc/resolv.conf
echo "$name" | sha256sum | cut -c 1-32 >/etc/machine-id
