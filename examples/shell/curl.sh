#!/bin/sh
# A session with nothing but curl: the same port answers JSON over HTTP/1.1.
# usage: curl.sh HOST:PORT [STATION]
set -eu
site=$1
station=${2:-cerro}
id=$(cat /proc/sys/kernel/random/uuid)

# One request, one answer.
call() {
  curl --silent --show-error --header 'content-type: application/json' --data "$2" "http://$site/opsdb.v1.$1"
  echo
}

# One request, a stream of answers: every message has a byte of flags and four bytes of its length before it.
stream() {
  length=$(printf %s "$2" | wc -c)
  size="\\000\\000\\$(printf %03o $((length / 256)))\\$(printf %03o $((length % 256)))"
  printf "\\000$size%s" "$2" |
    curl --silent --show-error --no-buffer --header 'content-type: application/connect+json' --data-binary @- \
      "http://$site/opsdb.v1.$1" | messages
}
messages() {
  while header=$(head -c 5 | od -An -tu1) && [ -n "$header" ]; do
    set -- $header
    head -c $(($2 * 16777216 + $3 * 65536 + $4 * 256 + $5))
    echo
  done
}

echo "# insert: the id is ours, so that the same request can be sent again after a lost answer"
call WriteService/Write "{
  \"writeId\": \"$id\",
  \"mutations\": [{\"table\": \"weather_samples\", \"insert\": {\"values\": {
    \"station\":    {\"stringValue\": \"$station\"},
    \"sampled_at\": {\"timestampValue\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"},
    \"pwv_mm\":     {\"doubleValue\": 0.42}}}}]}"

echo "# merged read: the row is there before the main site has it"
stream QueryService/Query "{
  \"table\": \"weather_samples\",
  \"where\": {\"comparison\": {\"column\": \"station\", \"operator\": \"COMPARISON_OPERATOR_EQUAL\",
                           \"value\": {\"stringValue\": \"$station\"}}}}"

echo "# follow it until this site's replica shows it"
stream ReplicationService/WatchReplication "{\"writeId\": \"$id\", \"untilDone\": true}"

echo "# its outcome, also long after"
call WriteService/GetWrite "{\"writeId\": \"$id\"}"

echo "# bad input is refused with a reason and the field"
call WriteService/Write '{"mutations": [{"table": "weather_samples", "insert": {"values": {
    "station": {"stringValue": "cerro"}, "sampled_at": {"stringValue": "yesterday-ish"}}}}]}'
