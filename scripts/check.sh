#!/bin/sh
# Everything that can be checked without running the service; one line for each check, all of them run, and the exit
# status says whether all held. SKIP_CLIENT_STUBS=1 leaves out the Python and C++ stubs where protoc is not installed.
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
failed=0

check() {
  name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    note=$(grep '^note: ' "$work/output" | head -n 1)
    echo "ok      $name${note:+ (${note#note: })}"
  else
    echo "FAILED  $name"
    sed 's/^/        /' "$work/output"
    failed=$((failed + 1))
  fi
}

format_and_lint() { biome ci --colors=off --max-diagnostics=50 .; }
types() { tsc --noEmit --pretty false; }
proto_lint() { buf lint; }
proto_format() { buf format proto --diff --exit-code; }

# The baseline is the contract before this branch's work: where it left main, or the commit before on main itself.
# OPSDB_BREAKING_AGAINST names another one.
proto_breaking() {
  baseline=${OPSDB_BREAKING_AGAINST:-}
  if [ -z "$baseline" ]; then
    for main in origin/main origin/master main master; do
      git rev-parse -q --verify "$main^{commit}" >/dev/null && baseline=$(git merge-base HEAD "$main" || true) && break
    done
    if [ -z "$baseline" ] || [ "$baseline" = "$(git rev-parse HEAD)" ]; then
      baseline=$(git rev-parse -q --verify 'HEAD~1^{commit}' || true)
    fi
  fi
  if [ -z "$baseline" ] || ! git cat-file -e "$baseline:proto" 2>/dev/null; then
    echo "note: no earlier contract in this clone to compare with"
    return 0
  fi
  mkdir -p "$work/baseline"
  git archive "$baseline" proto | tar -x -C "$work/baseline"
  buf build proto --as-file-descriptor-set -o "$work/now.binpb" &&
    buf build "$work/baseline/proto" --as-file-descriptor-set -o "$work/before.binpb" &&
    buf breaking "$work/now.binpb" --against "$work/before.binpb" --config "$breaking_rules" || return 1
  echo "note: against $(git rev-parse --short "$baseline")"
}
breaking_rules='{"version":"v2","breaking":{"use":["FILE","WIRE_JSON"]}}'

generated_code() {
  mkdir -p "$work/generated"
  sh scripts/generate.sh "$work/generated" || return 1
  for part in "$work/generated"/gen/*; do
    diff -r -x __pycache__ "$part" "gen/$(basename "$part")" || return 1
  done
  if [ "${SKIP_CLIENT_STUBS:-}" = 1 ]; then echo "note: TypeScript only, SKIP_CLIENT_STUBS=1"; fi
}

dependency_directions() { node scripts/check-imports.ts; }

check "format and lint" format_and_lint
check "types" types
check "dependency directions" dependency_directions
check "contract: lint" proto_lint
check "contract: format" proto_format
check "contract: nothing breaks" proto_breaking
check "generated code is the committed one" generated_code

[ "$failed" -eq 0 ] || echo "$failed checks failed"
[ "$failed" -eq 0 ]
