#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# vm.sh PACKAGE COMMAND: boots the kernel of a Debian package in an emulated machine, with this
# system's files to read and this tree as /mnt, and runs a shell command there as root. Ends with its
# exit status. The kernel is unpacked below build-vm, not installed. Needs root, for virtiofsd.
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh

TIMEOUT=${REEVE_VM_TIMEOUT:-5400}
PROCESSORS=${REEVE_VM_PROCESSORS:-1}
MEMORY=2048
MODULES="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci fuse virtiofs"

[ "$(id -u)" -eq 0 ] || {
	say "vm.sh: sharing the system's files needs root"
	exit 1
}
PACKAGE=$1
COMMAND=$2
KERNEL=build-vm/$PACKAGE

unpack() { # the package, to $KERNEL
	mkdir -p build-vm/download
	(cd build-vm/download && apt-get -q download "$PACKAGE" >/dev/null 2>&1) || {
		say "vm.sh: there is no package $PACKAGE"
		exit 1
	}
	dpkg-deb -x build-vm/download/"$PACKAGE"_*.deb "$KERNEL.new"
	rm -rf build-vm/download
	mv "$KERNEL.new" "$KERNEL"
}

[ -d "$KERNEL" ] || unpack
RUN=$(mktemp -d)
STARTED=
# shellcheck disable=SC2317 # called by the traps
cleanup() {
	for pid in $STARTED; do
		kill "$pid" 2>/dev/null || true
	done
	rm -rf "$RUN"
}
# The machine ends with this script, however that ends: a shell hears signals while it waits for what
# runs in the background; and what it started is sent one when it is killed.
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$RUN/root/bin" "$RUN/root/modules" "$RUN/root/host" "$RUN/root/proc" "$RUN/root/sys" "$RUN/root/dev"
cp /bin/busybox "$RUN/root/bin"
# What is built into the kernel is not found.
for module in $MODULES; do
	find "$KERNEL/lib/modules" -name "$module.ko*" -exec cp {} "$RUN/root/modules" \;
done
printf '%s\n' "$COMMAND" >"$RUN/root/command"
cat >"$RUN/root/main" <<'MAIN'
/bin/sh /run/command
echo "vm: status $?"
/bin/busybox poweroff -f
MAIN
cat >"$RUN/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs d /dev
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc p /proc
mount -t sysfs s /sys
xz -d /modules/*.xz 2>/dev/null
for round in 1 2 3 4 5 6 7; do # until all that one needs are there
	for module in /modules/*.ko; do
		insmod "$module" 2>/dev/null
	done
done
mount -t virtiofs -o ro host /host || poweroff -f
for directory in tmp run root var/tmp; do
	mount -t tmpfs t /host/$directory
done
mount -t proc p /host/proc
mount -t sysfs s /host/sys
mount -t devtmpfs d /host/dev
mkdir -p /host/dev/shm /host/dev/pts
mount -t tmpfs t /host/dev/shm
mount -t devpts d /host/dev/pts
mount -t virtiofs -o ro tree /host/mnt
mount -t cgroup2 c /host/sys/fs/cgroup
mount -t securityfs s /host/sys/kernel/security
mount -t tracefs t /host/sys/kernel/tracing
mount -t bpf b /host/sys/fs/bpf
ip link set lo up
hostname vm
cp /command /main /host/run
echo "vm: Linux $(uname -r)"
exec switch_root /host /bin/sh /run/main
INIT
chmod +x "$RUN/root/init"
(cd "$RUN/root" && find . | cpio -o -H newc 2>/dev/null) >"$RUN/initrd"

for share in host:/ "tree:$PWD"; do
	name=${share%%:*}
	setpriv --pdeathsig TERM /usr/lib/qemu/virtiofsd --socket-path="$RUN/$name" -o source="${share#*:}" -o cache=always \
		-o sandbox=chroot >"$RUN/$name.log" 2>&1 &
	STARTED="$STARTED $!"
done
for name in host tree; do
	until [ -S "$RUN/$name" ]; do
		sleep 0.05
	done
done
mkfifo "$RUN/console"
tee "$RUN/output" <"$RUN/console" |
	sed -un 's/\r//g; /vm: Linux/,/^vm: status/s/^.*vm: Linux/vm: Linux/; /vm: Linux/,/^vm: status/p' &
shown=$!
setpriv --pdeathsig TERM timeout "$TIMEOUT" setpriv --pdeathsig KILL \
	qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp "$PROCESSORS" -m $MEMORY \
	-object memory-backend-memfd,id=memory,size=${MEMORY}M,share=on -numa node,memdev=memory \
	-chardev socket,id=host,path="$RUN/host" -device vhost-user-fs-pci,chardev=host,tag=host \
	-chardev socket,id=tree,path="$RUN/tree" -device vhost-user-fs-pci,chardev=tree,tag=tree \
	-kernel "$KERNEL"/boot/vmlinuz-* -initrd "$RUN/initrd" -nic none -no-reboot -nographic \
	-append "console=ttyS0 quiet panic=-1 lsm=landlock,lockdown,yama,bpf" </dev/null >"$RUN/console" 2>/dev/null &
STARTED="$STARTED $!"
wait $! || true
wait "$shown"
status=$(tr -d '\r' <"$RUN/output" | sed -n 's/^vm: status //p')
exit "${status:-1}"
