#!/bin/sh
# Runs a streaming replica of PRIMARY_HOST. The first time it copies the primary.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  new=$PGDATA.new
  # The copy's settings name this file, so it stays.
  passwords=$(dirname "$PGDATA")/replication.pgpass
  (umask 077 && printf '%s:5432:*:replication:%s\n' "$PRIMARY_HOST" "$(cat /secrets/replication)" >"$passwords")
  until rm -rf "$new" && pg_basebackup \
    -d "host=$PRIMARY_HOST user=replication passfile=$passwords application_name=chile connect_timeout=5" \
    -D "$new" -X stream -R -S chile -c fast; do
    sleep 1
  done
  chmod 700 "$new"
  mv "$new" "$PGDATA" # whole or not at all
fi

exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp -c hot_standby=on \
  -c hot_standby_feedback=on -c wal_receiver_timeout=10s -c wal_receiver_status_interval=1s \
  -c wal_retrieve_retry_interval=1s -c timezone=UTC
