#!/bin/sh
# Runs the Redis that holds the buffer: on disk before it answers, and nothing is ever evicted.
set -eu
exec redis-server - <<CONFIG
bind * -::*
protected-mode no
requirepass $(cat /secrets/redis)
dir /data
appendonly yes
appendfsync always
maxmemory-policy noeviction
save ""
CONFIG
