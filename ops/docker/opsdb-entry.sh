#!/bin/sh
# Takes secrets from the files that MAIN_DB_PASSWORD_FILE, LOCAL_DB_PASSWORD_FILE and REDIS_URL_FILE name, and becomes
# the opsdb program, so that signals reach it.
set -eu
for name in MAIN_DB_PASSWORD LOCAL_DB_PASSWORD REDIS_URL; do
  eval "file=\${${name}_FILE:-}"
  [ -n "$file" ] || continue
  value=$(cat "$file")
  export "$name=$value"
done
exec node /opt/opsdb/dist/src/cli.js "$@"
