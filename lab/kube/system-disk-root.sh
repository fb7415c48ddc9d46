#!/bin/sh
# mmdebstrap's hook: what makes a Debian root the root of a cloud image that boots quickly under emulation and reaches
# no mirror. It has one of its own instead, with the packages that cloud-init is to install.
# Argument: the root. In the environment: PACKAGES, and apt's configuration for that root from mmdebstrap.
set -eu
root=$1
mirror=var/lib/l2wire-mirror

# The named packages go into the mirror, their dependencies into the root, so that a guest has little to
# install.
archives=$root/$mirror
mkdir -p "$archives/partial"
# shellcheck disable=SC2086 # one word per package
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get install --quiet --quiet --yes --no-install-recommends --download-only \
  -o "Dir::Cache::archives=$archives" $PACKAGES >/dev/null
mkdir "$root/needed"
for archive in "$archives"/*.deb; do
  name=$(dpkg-deb --field "$archive" Package)
  case " $PACKAGES " in
  *" $name "*)
    # The name from apt contains a %, which apt itself reads as half of another character.
    mv "$archive" "$archives/$name.deb"
    dpkg-deb --field "$archives/$name.deb"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$name.deb" "$(stat -c %s "$archives/$name.deb")" \
      "$(sha256sum "$archives/$name.deb" | cut -d ' ' -f 1)"
    ;;
  *) mv "$archive" "$root/needed/" ;;
  esac
done >"$archives/Packages"
if [ -n "$(ls "$root/needed")" ]; then
  chroot "$root" sh -c 'DEBIAN_FRONTEND=noninteractive dpkg --install /needed/*.deb' >/dev/null
fi
rm -r "$root/needed" "$archives/partial"
rm -f "$archives/lock"
echo "deb [trusted=yes] file:/$mirror ./" >"$root/etc/apt/sources.list"
rm -f "$root"/etc/apt/sources.list.d/*

# Like Debian's cloud images: their user is "debian", netplan writes for systemd-networkd.
cat >"$root/etc/cloud/cloud.cfg.d/95_disk.cfg" <<END
datasource_list: [NoCloud, None]
# An RSA key takes long under emulation.
ssh_genkeytypes: [ed25519]
growpart: { mode: "off" }
locale: false
resize_rootfs: false
manage_etc_hosts: true
grub_dpkg: { enabled: false }
ssh: { emit_keys_to_console: false }
no_ssh_fingerprints: true
END
echo 'LABEL=system / ext4 rw,noatime,errors=remount-ro 0 0' >"$root/etc/fstab"
rm -f "$root"/etc/ssh/ssh_host_*
systemctl --quiet --root "$root" enable systemd-networkd systemd-resolved
# Nobody waits for these in a machine that lives for minutes, and each is a program to start.
systemctl --quiet --root "$root" mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer systemd-pstore.service systemd-binfmt.service systemd-random-seed.service \
  systemd-update-utmp.service dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  sys-kernel-config.mount sys-fs-fuse-connections.mount modprobe@.service kmod-static-nodes.service

# All of them run again whenever a package is installed, and a program takes long to start under emulation.
mkdir -p "$root/etc/systemd/system-generators"
for name in cryptsetup debug gpt-auto hibernate-resume integritysetup rc-local run system-update veritysetup; do
  ln -s /dev/null "$root/etc/systemd/system-generators/systemd-$name-generator"
done

# Only what the disk needs, because unpacking is the cost.
printf '%s\n' virtio_pci virtio_blk ext4 crc32c_generic >"$root/etc/initramfs-tools/modules"
printf '%s\n' MODULES=list COMPRESS=lz4 >"$root/etc/initramfs-tools/conf.d/disk"
chroot "$root" update-initramfs -u -k all >/dev/null
# Packages that a guest installs trigger it. It takes a minute there, and no guest boots twice.
echo update_initramfs=no >"$root/etc/initramfs-tools/update-initramfs.conf"

# GRUB as a BIOS reads it. It knows the place of its menu, and needs none.
cat >"$root/boot/grub.cfg" <<END
linux (hd0,msdos1)/vmlinuz root=LABEL=system ro quiet console=tty0 console=ttyS0
initrd (hd0,msdos1)/initrd.img
boot
END
chroot "$root" grub-mkimage --format i386-pc --prefix '(hd0,msdos1)/boot' --config /boot/grub.cfg \
  --output /boot/core.img biosdisk part_msdos ext2 linux
cp "$root/usr/lib/grub/i386-pc/boot.img" "$root/boot/boot.img"
