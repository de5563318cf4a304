#!/bin/sh
# Makes the secrets that docker-compose.yml mounts, once: random, readable by you alone on the host.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets
chmod 700 secrets
umask 022  # files in containers are read by other users than you; the folder keeps others out
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
[ -s secrets/postgres_password ] || random >secrets/postgres_password
[ -s secrets/redis_password ] || random >secrets/redis_password
[ -s secrets/sink_dsn ] || printf 'postgresql://postgres:%s@timescaledb:5432/depthgauge' "$(cat secrets/postgres_password)" >secrets/sink_dsn
echo "secrets are in $(pwd)/secrets"
