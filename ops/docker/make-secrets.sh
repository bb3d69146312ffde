#!/bin/sh
# Makes a random password for each part of the system, once; what is there already stays.
set -eu
cd "${SECRETS_DIR:-/secrets}"

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

keep() {
  [ ! -s "$1" ] || return 0
  printf '%s\n' "$2" >"$1.new"
  chmod 444 "$1.new"
  mv "$1.new" "$1"
}

for name in owner opsdb-api opsdb-reader replication redis; do keep "$name" "$(random)"; done
keep redis-url "redis://:$(cat redis)@chile-redis:6379/0"
