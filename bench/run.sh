#!/usr/bin/env bash
# Runs the benchmarks; see README.md. On Debian, installs missing packages: a C compiler and the headers of OpenSSL for the
# load client, docker-registry as a peer, and nginx.
#
#   npm run bench -- --help
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/local/go/bin:/usr/sbin

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

missing() {
  command -v gcc >/dev/null || printf '%s\n' gcc libc6-dev
  [ -e /usr/include/openssl/sha.h ] || echo libssl-dev
  command -v docker-registry >/dev/null || echo docker-registry
  command -v nginx >/dev/null || echo nginx-light
}

mapfile -t packages < <(missing)
if [ ${#packages[@]} -gt 0 ] && command -v apt-get >/dev/null; then
  echo "bench: installing ${packages[*]}" >&2
  as_root apt-get -qq update || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null ||
    echo 'bench: some packages could not be installed' >&2
fi

exec node bench/main.mjs "$@"
