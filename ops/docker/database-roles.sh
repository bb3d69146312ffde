#!/bin/sh
# Makes the service's database roles, or brings their rights up to date, and gives them their passwords. Run by the owner of
# the tables after each migration.
set -eu
secret() { cat "/secrets/$1"; }

PGPASSWORD=$(secret owner)
export PGPASSWORD PGOPTIONS="--client-min-messages=warning"
exec psql -q -v ON_ERROR_STOP=1 -h main-db -U owner -d observatory -v api="$(secret opsdb-api)" \
  -v reader="$(secret opsdb-reader)" -f /roles.sql -f - <<'SQL'
alter role opsdb_api password :'api';
alter role opsdb_reader password :'reader';
SQL
