#!/bin/sh
# The password comes from a file and goes into a file: on a command line, everybody on the host could read it.
set -eu
umask 077
printf 'requirepass %s\n' "$(cat /run/secrets/redis_password)" >/tmp/redis.conf
exec redis-server /tmp/redis.conf --dir /data --appendonly yes --maxmemory 256mb --maxmemory-policy noeviction
