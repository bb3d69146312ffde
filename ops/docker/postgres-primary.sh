#!/bin/sh
# Runs the main database. The first time it makes the cluster, with
#   owner        owns the database: the schema, the migrations and the service's roles are theirs
#   replication  for the replica, with the physical slot "chile"
set -eu
secret() { cat "/secrets/$1"; }

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  new=$PGDATA.new
  rm -rf "$new"
  initdb -D "$new" -U postgres --auth-local=peer --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8 >/dev/null
  cat >>"$new/pg_hba.conf" <<'HBA'
host all         all         all scram-sha-256
host replication replication all scram-sha-256
HBA
  pg_ctl -D "$new" -w -s -o "-c listen_addresses= -c unix_socket_directories=/tmp" start
  export PGHOST=/tmp PGUSER=postgres PGOPTIONS="--client-min-messages=warning"
  psql -q -v ON_ERROR_STOP=1 -d postgres -o /dev/null -v owner="$(secret owner)" \
    -v replication="$(secret replication)" <<'SQL'
create role owner login createrole password :'owner';
grant pg_monitor to owner with admin option;
grant set on parameter temp_file_limit to owner with grant option;
create role replication login replication password :'replication';
create database observatory owner owner;
select pg_create_physical_replication_slot('chile', true);
SQL
  # The database's own tables: any schema will do.
  psql -q -v ON_ERROR_STOP=1 -d observatory -o /dev/null -c "set role owner" -f /schema.sql
  pg_ctl -D "$new" -w -s stop
  mv "$new" "$PGDATA" # whole or not at all
fi

exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c wal_level=replica \
  -c max_wal_senders=10 -c max_replication_slots=10 -c max_slot_wal_keep_size="${MAX_SLOT_WAL_KEEP_SIZE:-10GB}" \
  -c wal_sender_timeout=10s -c timezone=UTC
