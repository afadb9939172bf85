#!/usr/bin/env bash
# Fetches the upstream tarball of a Debian source package into DIR, from the mirror that this machine's apt already uses, or from
# DEBIAN_MIRROR where that one is not Debian's (Ubuntu).
# Touches nothing of the system's configuration.
# Usage: tools/fetch_source.sh DIR SUITE PACKAGE=VERSION SHA256
set -euo pipefail
dir=$1 suite=$2 package=$3 sha=$4
[ -f "$dir/.complete" ] && exit 0
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '!/security/ && !seen++')}
keyring=$(find /usr/share/keyrings -name 'debian-archive-keyring.*' | awk '!seen++')
[ -n "$keyring" ] || { echo "fetch_source: install debian-archive-keyring, which says whom to trust for $package" >&2; exit 1; }
echo "deb-src [signed-by=$keyring] $mirror $suite main" > "$work/sources.list"
mkdir -p "$work/lists/partial"
private=(-oDir::Etc::SourceList="$work/sources.list" -oDir::Etc::SourceParts=/dev/null -oDir::State::Lists="$work/lists" -oAPT::Sandbox::User=root)
apt-get -qq "${private[@]}" update ||
  { echo "fetch_source: no Debian $suite at this machine's apt mirror; set DEBIAN_MIRROR to one that has it" >&2; exit 1; }
(cd "$work" && apt-get -qq "${private[@]}" source --download-only --tar-only "$package")
tarball=$(ls "$work"/*.orig.tar.*)
echo "$sha  $tarball" | sha256sum --check --quiet
tar -xf "$tarball" -C "$dir" --strip-components=1
touch "$dir/.complete"
