#!/usr/bin/env bash
# Runs a command in a clean clone of what is committed here, on a bare Debian or Ubuntu in a folder: proof that ./dev installs all it needs.
# Usage, as root: tools/fresh_machine.sh SUITE [COMMAND…]     e.g. tools/fresh_machine.sh trixie ./dev size
# COMMAND is ./dev test unless given. The system stays in build/fresh/SUITE, for a second try; remove that folder to begin anew.
# MIRROR is where packages come from; unless set, what this machine's own apt uses, which has the suites of one distribution only.
# Ubuntu 24.04 was not tried: where its packages can be had, MIRROR=ADDRESS tools/fresh_machine.sh noble ./dev test does it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] && [ "$(id -u)" = 0 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
suite=$1 system=$PWD/build/fresh/$1; shift
[ $# -gt 0 ] || set -- ./dev test
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '!/security/ && !seen++')}
command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap >/dev/null; }

unmount() {
  for place in dev proc ${PIP_FIND_LINKS:-}; do ! mountpoint -q "$system/$place" || umount --recursive --lazy "$system/$place"; done
}
trap unmount EXIT
trap 'exit 1' INT TERM
if [ ! -f "$system/.complete" ]; then
  unmount
  rm -rf --one-file-system "$system"
  mkdir -p "$system"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$system" "$mirror" > "$system.log" 2>&1 ||
    { tail -n 5 "$system.log" >&2; echo "fresh_machine: debootstrap failed; $system.log" >&2; exit 1; }
  touch "$system/.complete"
fi
# Ubuntu keeps most of what is built with in universe.
components=main; ! grep -qs '^ID=ubuntu' "$system/etc/os-release" || components="main universe"
# A system that can be made anew need not be written to the disk file by file: there are ten thousand.
echo force-unsafe-io > "$system/etc/dpkg/dpkg.cfg.d/unsafe-io"
echo "deb $mirror $suite $components" > "$system/etc/apt/sources.list"
cp /etc/resolv.conf "$system/etc/resolv.conf"
mount -t proc proc "$system/proc"
mount --rbind --make-rslave /dev "$system/dev" # a slave: what unmount takes away here stays in the machine's own /dev
# Whom this machine trusts, and the folder of wheels that it has, if any (PIP_FIND_LINKS), are the network's rather than the system's.
[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$system/usr/local/share/"
chroot "$system" update-ca-certificates >/dev/null
bundle=/etc/ssl/certs/ca-certificates.crt
[ ! -d "${PIP_FIND_LINKS:-}" ] || { mkdir -p "$system/$PIP_FIND_LINKS" && mount --bind -o ro "$PIP_FIND_LINKS" "$system/$PIP_FIND_LINKS"; }

rm -rf "$system/root/wasmkiln"
git clone -q --no-hardlinks . "$system/root/wasmkiln"
chroot "$system" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 ${CI:+CI=$CI} ${PIP_FIND_LINKS:+PIP_FIND_LINKS=$PIP_FIND_LINKS} \
  PIP_CERT=$bundle NODE_EXTRA_CA_CERTS=$bundle npm_config_cafile=$bundle \
  $(env | grep -iE '^(https?|no)_proxy=' || true) sh -c 'cd /root/wasmkiln && exec "$@"' sh "$@"
