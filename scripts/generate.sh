#!/bin/sh
# Generates the stubs from proto/ and third_party/ into gen/, or into the directory given as the first argument.
# TypeScript always; Python and C++ where protoc 3.21.12 and its gRPC plugins are installed, unless SKIP_CLIENT_STUBS=1.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"
protoc_wanted="libprotoc 3.21.12"

have_protoc() {
  [ "$(/usr/bin/protoc --version 2>/dev/null)" = "$protoc_wanted" ] &&
    command -v grpc_python_plugin >/dev/null && command -v grpc_cpp_plugin >/dev/null
}

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT INT TERM
buf generate --template buf.gen.yaml -o "$out"
parts=ts
if [ "${SKIP_CLIENT_STUBS:-}" = 1 ]; then
  echo "generate: Python and C++ skipped (SKIP_CLIENT_STUBS=1)" >&2
elif have_protoc; then
  buf generate --template buf.gen.clients.yaml -o "$out"
  parts="ts python cpp"
else
  echo "generate: Python and C++ need $protoc_wanted, grpc_python_plugin and grpc_cpp_plugin" \
    "(Debian 12: apt-get install protobuf-compiler protobuf-compiler-grpc), or SKIP_CLIENT_STUBS=1" >&2
  exit 3
fi

target=${1:-$PWD}
mkdir -p "$target/gen"
for part in $parts; do
  rm -rf "$target/gen/$part"
  cp -R "$out/gen/$part" "$target/gen/$part"
done
