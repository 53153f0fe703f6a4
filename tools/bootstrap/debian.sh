#!/bin/sh
# Installs the Debian packages that a new machine lacks; does nothing where they are all there.
set -eu

# make, git, python3-venv: the project itself. debootstrap, buildah: images. gcc, libc6-dev: the pause program.
# The rest carries the node: container runtime, pod network, service addresses.
packages="make git ca-certificates curl xz-utils zstd python3 python3-venv debootstrap buildah gcc libc6-dev
  runc containernetworking-plugins iptables conntrack iproute2 procps"

# Other people's programs for the tests of database drivers; whatever version is there already is good enough.
command -v npm >/dev/null || packages="$packages nodejs npm"
command -v javac >/dev/null || packages="$packages openjdk-17-jdk-headless"
command -v mvn >/dev/null || packages="$packages maven"

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "these Debian packages are missing; install them as root: apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "installing Debian packages:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # a list of words
apt-get install -qq -y --no-install-recommends $missing
