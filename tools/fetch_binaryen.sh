#!/usr/bin/env bash
# Fetches Binaryen 120's source into DIR: Debian's source package, from the mirror that this machine's apt already uses.
# Touches nothing of the system's configuration. Usage: tools/fetch_binaryen.sh DIR
set -euo pipefail
dir=$1
sha=a4edd532d37b33d88e28e8d770f7177a7c0bb4495eabc6f5ecd41ffc5fd4db90
[ -f "$dir/src/binaryen-c.h" ] && exit 0
mkdir -p "$dir"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '!/security/ && !seen++')
keyring=$(find /usr/share/keyrings -name 'debian-archive-keyring.*' | awk '!seen++')
echo "deb-src [signed-by=$keyring] $mirror trixie main" > "$work/sources.list"
mkdir -p "$work/lists/partial"
private=(-oDir::Etc::SourceList="$work/sources.list" -oDir::Etc::SourceParts=/dev/null -oDir::State::Lists="$work/lists" -oAPT::Sandbox::User=root)
apt-get -qq "${private[@]}" update
(cd "$work" && apt-get -qq "${private[@]}" source --download-only --tar-only binaryen=120-4)
tarball=$(ls "$work"/binaryen_120.orig.tar.*)
echo "$sha  $tarball" | sha256sum --check --quiet
tar -xf "$tarball" -C "$dir" --strip-components=1
