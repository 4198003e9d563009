#!/bin/busybox sh
# PID 1 of the test guest. It mounts what programs expect, loads the modules of the image in their
# order and then obeys lines on the serial console; test/support/guest/guest.mjs is the other side.
#
#   run TOKEN BASE64            a shell script; answers "begin TOKEN", its output, "end TOKEN STATUS"
#   terminal ROWS COLUMNS TERM  hands the console to an interactive shell, powers off when it exits
#   reboot | poweroff
#
# With guest.root=TAG on the kernel's command line the share TAG, which has to hold this script too, becomes the root.

/bin/busybox mount -t devtmpfs none /dev
mount -t proc none /proc
for module in /modules/*.ko; do
  [ -e "$module" ] && insmod "$module"
done
read -r cmdline </proc/cmdline
root=${cmdline##*guest.root=}
if [ "$root" != "$cmdline" ] && [ -d /modules ]; then
  mkdir /newroot
  mount -t virtiofs "${root%% *}" /newroot
  umount /proc
  umount -l /dev
  exec switch_root /newroot /init
fi

mount -t sysfs none /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs none /tmp
mount -t tmpfs none /run
mount -t tmpfs none /dev/shm
chmod 1777 /tmp /dev/shm

hostname guest
export HOME=/root PATH=/bin LC_ALL=C
cd /root

# No echo: what the host sends must never look like what the guest answers.
stty raw -echo

stop() {
  umount -a -t virtiofs 2>/dev/null
  sync
  "$1" -f
  sleep 60
}

run() {
  printf '\nbegin %s\n' "$1"
  printf '%s' "$2" | base64 -d >/run/command
  sh /run/command </dev/null 2>&1
  printf '\nend %s %s\n' "$1" "$?"
}

terminal() {
  stty sane rows "$1" cols "$2"
  TERM=$3 PS1='guest:\w\$ ' setsid cttyhack sh
  stop poweroff
}

token=${cmdline##*guest.token=}
printf '\nready %s\n' "${token%% *}"

while read -r verb first second third; do
  case $verb in
    run) run "$first" "$second" ;;
    terminal) terminal "$first" "$second" "$third" ;;
    reboot | poweroff) stop "$verb" ;;
  esac
done

# The console is gone, and with it everybody who could give orders.
stop poweroff
