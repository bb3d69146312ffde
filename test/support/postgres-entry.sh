#!/bin/sh
# Runs a primary, or with ROLE=standby a streaming standby of PRIMARY_HOST:PRIMARY_PORT, in the official PostgreSQL
# image and in any other that has its programs.
set -eu
PGDATA=/tmp/opsdb-data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ "${ROLE:-primary}" = primary ]; then
    initdb -D "$PGDATA" -U postgres --auth=trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
    printf 'host all all all trust\nhost replication all all trust\n' >>"$PGDATA/pg_hba.conf"
  else
    pg_basebackup -d "host=$PRIMARY_HOST port=$PRIMARY_PORT user=postgres application_name=standby connect_timeout=5" \
      -D "$PGDATA" -X stream -R -S standby -c fast --no-sync
    chmod 700 "$PGDATA"
  fi
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories= -c fsync="${FSYNC:-off}" \
  -c max_connections=200 -c wal_level=replica -c max_wal_senders=16 -c max_replication_slots=16 -c max_wal_size=1GB \
  -c checkpoint_timeout=30min -c hot_standby=on -c hot_standby_feedback=on -c wal_retrieve_retry_interval=200ms \
  -c wal_receiver_status_interval=1s -c wal_receiver_timeout=5s -c wal_sender_timeout=5s -c timezone=UTC
