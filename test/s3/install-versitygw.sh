#!/usr/bin/env bash
# Builds versitygw, an S3 server in front of a folder, with Go into .e2e-tools/. Skips it when it is there. Takes about 100
# seconds on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=v1.8.0
tools=$PWD/.e2e-tools/usr/bin
PATH=$PATH:/usr/local/go/bin

if "$tools/versitygw" --version 2>/dev/null | grep -qF "$version"; then exit 0; fi
if ! command -v go >/dev/null; then
  echo 'install-versitygw: Go is not installed' >&2
  exit 1
fi
echo "install-versitygw: building versitygw $version with Go"
# The program reports the version that it is linked with.
GOBIN=$tools GOTOOLCHAIN=local go install -trimpath -ldflags="-s -w -X main.Version=$version" \
  "github.com/versity/versitygw/cmd/versitygw@$version"
