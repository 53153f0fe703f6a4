#!/bin/sh
# Prints the folder of a Go that can build the cluster's programs: the machine's own when it is new enough,
# else the pinned toolchain, fetched once from the Go module proxy into the user's cache and checked by its SHA-256.
set -eu

version=1.26.8
oldest=26
sha256=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7

minor() { "$1" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p'; }

found=$(command -v go || true)
if [ -n "$found" ] && [ "$(GOTOOLCHAIN=local minor "$found" || echo 0)" -ge "$oldest" ]; then
  dirname "$found"
  exit 0
fi

home="${XDG_CACHE_HOME:-$HOME/.cache}/locktender/go-$version"
if [ ! -x "$home/bin/go" ]; then
  [ "$(uname -m)" = x86_64 ] || { echo "install Go 1.$oldest or newer: only amd64 is fetched here" >&2; exit 1; }
  echo "fetching Go $version (70 MB) into $home" >&2
  draft="$home.draft"
  rm -rf "$draft"
  mkdir -p "$draft"
  proxy=$(printf '%s' "${GOPROXY:-https://proxy.golang.org}" | cut -d, -f1)
  curl -sSfL --retry 3 -o "$draft/go.zip" "$proxy/golang.org/toolchain/@v/v0.0.1-go$version.linux-amd64.zip"
  echo "$sha256  $draft/go.zip" | sha256sum --quiet --check -
  python3 -m zipfile -e "$draft/go.zip" "$draft"
  mv "$draft/golang.org/toolchain@v0.0.1-go$version.linux-amd64" "$draft/go"
  find "$draft/go/bin" "$draft/go/pkg/tool" -type f -exec chmod +x {} +
  rm -rf "$home"
  mv "$draft/go" "$home"
  rm -rf "$draft"
fi
echo "$home/bin"
