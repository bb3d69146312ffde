#!/bin/sh
# A session with grpcurl, which learns the calls from the server itself.
# usage: grpcurl.sh HOST:PORT [STATION]
set -eu
site=$1
station=${2:-cerro}
id=$(cat /proc/sys/kernel/random/uuid)
call() {
  method=$1
  shift
  grpcurl -plaintext "$@" "$site" "opsdb.v1.$method"
}

echo "# insert: the id is ours, so that the same request can be sent again after a lost answer"
call WriteService/Write -d "{
  \"write_id\": \"$id\",
  \"mutations\": [{\"table\": \"weather_samples\", \"insert\": {\"values\": {
    \"station\":    {\"string_value\": \"$station\"},
    \"sampled_at\": {\"timestamp_value\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"},
    \"pwv_mm\":     {\"double_value\": 0.42}}}}]}"

echo "# merged read: the row is there before the main site has it"
call QueryService/Query -d "{
  \"table\": \"weather_samples\",
  \"where\": {\"comparison\": {\"column\": \"station\", \"operator\": \"COMPARISON_OPERATOR_EQUAL\",
                           \"value\": {\"string_value\": \"$station\"}}}}"

echo "# follow it until this site's replica shows it"
call ReplicationService/WatchReplication -d "{\"write_id\": \"$id\", \"until_done\": true}"

echo "# its outcome, also long after"
call WriteService/GetWrite -d "{\"write_id\": \"$id\"}"

echo "# bad input is refused with a reason and the field"
if call WriteService/Write -d '{"mutations": [{"table": "weather_samples", "insert": {"values": {
    "station": {"string_value": "cerro"}, "sampled_at": {"string_value": "yesterday-ish"}}}}]}' 2>&1; then
  echo "this should have been refused" >&2
  exit 1
fi
