#!/usr/bin/env bash
# Runs the newest OCI conformance suite with every option enabled against a server of our own. Passes if its junit.xml has
# some tests and no failure, error or skip. Keeps the report in artifacts/conformance/.
#
#   npm run conformance
#   CONFORMANCE_REGISTRY=127.0.0.1:5000 bash e2e-docker/conformance.sh    against a running registry
set -euo pipefail
cd "$(dirname "$0")/.."

suite=github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
results=$PWD/artifacts/conformance
limit_seconds=300
# With CONFORMANCE_REGISTRY, the repository to use.
repository=${CONFORMANCE_REPOSITORY:-local}

PATH=$PATH:/usr/local/go/bin
if ! command -v go >/dev/null; then
  echo 'conformance: NOT RUN (Go is not installed)'
  [ "${CI:-}" != true ] || exit 1
  exit 0
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/conformance.XXXXXX")
server=
finish() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Starts the server on a port that the system chooses; `registry` is where it listens. The suite pushes manifests without
# their blobs (OCI_DATA_SPARSE), which a repository accepts only with `sparse: true`.
start_server() {
  printf '%s\n' 'repositories:' '  - { name: local, type: local, sparse: true }' >"$work/registry.yaml"
  node "${E2E_SERVER_CLI:-dist/command/cli.js}" serve --config "$work/registry.yaml" --host 127.0.0.1 --port 0 \
    --data "$work/data" --log-level warn >"$results/server.log" 2>&1 &
  server=$!
  for _ in $(seq 1 100); do
    registry=$(grep -oEm1 'http://127\.0\.0\.1:[1-9][0-9]*' "$results/server.log" | head -n 1 | cut -d/ -f3 || true)
    [ -z "$registry" ] || return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  echo 'conformance: the server did not start:' >&2
  cat "$results/server.log" >&2
  exit 1
}

# Every API and kind of data of the suite, by the names in its README.
switch_everything_on() {
  local name
  export OCI_VERSION=dev OCI_LOG=warn OCI_TLS=disabled OCI_RESULTS_DIR=$results
  export OCI_REPO1=$repository/conformance/repo1 OCI_REPO2=$repository/conformance/repo2
  for name in PING PULL PUSH REFERRER \
    BLOBS_ATOMIC BLOBS_DELETE BLOBS_DIGEST_HEADER BLOBS_MOUNT_ANONYMOUS BLOBS_UPLOAD_CANCEL \
    MANIFESTS_ATOMIC MANIFESTS_DELETE MANIFESTS_DIGEST_HEADER MANIFESTS_TAG_PARAM \
    TAGS_ATOMIC TAGS_DELETE TAGS_LIST; do
    export "OCI_API_$name=true"
  done
  for name in IMAGE INDEX INDEX_LIST SPARSE ARTIFACT SUBJECT SUBJECT_MISSING ARTIFACT_LIST SUBJECT_LIST DATA_FIELD \
    NONDISTRIBUTABLE CUSTOM_FIELDS NO_LAYERS EMPTY_BLOB SHA512; do
    export "OCI_DATA_$name=true"
  done
}

# count NAME: prints a count of the <testsuite> element, which omits counts of 0.
count() {
  local value
  value=$(grep -m1 '<testsuite ' "$results/junit.xml" | grep -oE "^ *<testsuite [^>]*" | grep -oE " $1=\"[0-9]+\"" | tr -dc 0-9 || true)
  echo "${value:-0}"
}

rm -rf "$results"
mkdir -p "$results"
registry=${CONFORMANCE_REGISTRY:-}
[ -n "$registry" ] || start_server
switch_everything_on
export OCI_REGISTRY=$registry
# Runs in its own folder, because the suite reads an oci-conformance.yaml from the working directory. Its exit status is 0
# even if its set-up failed, so the report decides. A hanging server would hang the suite, so its time is limited.
status=0
(cd "$work" && GOTOOLCHAIN=local timeout "$limit_seconds" go run "$suite") >"$results/output.txt" 2>&1 || status=$?

if [ ! -s "$results/junit.xml" ]; then
  tail -n 40 "$results/output.txt"
  echo "conformance: FAILED (the suite ended with status $status and left no report)"
  exit 1
fi

tests=$(count tests) failures=$(count failures) errors=$(count errors) skipped=$(count skipped) disabled=$(count disabled)
echo "conformance: $tests tests, $failures failures, $errors errors, $skipped skipped, $disabled disabled"
if [ "$status" -eq 0 ] && [ "$tests" -gt 0 ] && [ "$failures$errors$skipped" = 000 ]; then
  echo "conformance: passed; the report is artifacts/conformance/report.html"
  exit 0
fi
# Prints the failures with their reasons, then the legal answers that the suite only warns about.
{ grep 'msg="failed test"' "$results/output.txt" | cut -c 1-400; grep -E ': +Skip$' "$results/output.txt"; } | head -n 60 || true
echo "conformance: FAILED (status $status); what was sent and answered is in artifacts/conformance/report.html"
exit 1
