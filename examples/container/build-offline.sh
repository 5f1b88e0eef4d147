#!/usr/bin/env bash
# build-offline.sh [TAG]: builds the image of the Dockerfile without the internet, in a clone after `npm ci`. The base image
# holds this machine's node with its libraries and a static busybox; the packages come from node_modules/.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=${1:-artifactapi}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

base=$work/base
mkdir -p "$base"/{bin,usr/bin,etc,tmp}
chmod 1777 "$base/tmp"
cp "$(command -v busybox)" "$base/bin/busybox"
for applet in sh mkdir chown id ls cat rm sleep; do ln -s busybox "$base/bin/$applet"; done
node=$(node -p process.execPath)
cp "$node" "$base/usr/bin/node"
# Name lookups load these at run time. A libc that has them built in lacks the files.
libc=$(dirname "$(ldd "$node" | grep -oE '/[^ ]*/libc\.[^ ]+')")
for library in $(ldd "$node" | grep -oE '/[^ ]+') "$libc"/libnss_{files,dns}.so.2 "$libc/libresolv.so.2"; do
  [ ! -e "$library" ] || { mkdir -p "$base$(dirname "$library")" && cp -L "$library" "$base$library"; }
done
printf 'root:x:0:0:root:/:/bin/sh\nnode:x:1000:1000::/app:/bin/sh\n' >"$base/etc/passwd"
printf 'root:x:0:\nnode:x:1000:\n' >"$base/etc/group"
tar -C "$base" --owner=0 --group=0 --numeric-owner -c . |
  docker import --change 'ENV PATH=/usr/bin:/bin' - local/node >/dev/null

context=$work/context
mkdir "$context"
# `npm ci` has built it. Another build would replace files that a registry of the clone runs from.
[ -e dist/command/cli.js ] || npm run --silent build
cp -r LICENSE package.json dist "$context"
npm ls --omit=dev --all --parseable | sed -n "s|^$PWD/||p" | xargs cp -r --parents --target-directory "$context"
docker build --network=none --build-arg BASE_IMAGE=local/node --file Dockerfile --tag "$tag" "$context"
