#!/bin/sh
# Runs uv with the arguments given; installs the pinned version into the user's cache first, through pip, where it is missing.
set -eu

version=0.13.9
home="${XDG_CACHE_HOME:-$HOME/.cache}/locktender/uv"
uv="$home/bin/uv"

if [ ! -x "$uv" ] || [ "$("$uv" --version | cut -d' ' -f2)" != "$version" ]; then
  echo "installing uv $version into $home" >&2
  python3 -m venv --clear "$home" || {
    echo "python3 cannot make a virtual environment: run 'make bootstrap' as root, or install python3-venv" >&2
    exit 1
  }
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$version"
fi

# The interpreters of the machine are used; none is downloaded.
export UV_PYTHON_DOWNLOADS="${UV_PYTHON_DOWNLOADS:-never}"
[ $# -eq 0 ] || exec "$uv" "$@"
