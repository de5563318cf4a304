#!/bin/sh
# Makes the secrets that docker-compose.yml mounts, once: random, readable by you alone on the host.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets
chmod 700 secrets
# Users in containers read what is mounted of these, also where a checkout is for yourself only.
for folder in docker prometheus grafana; do
    [ ! -d "$folder" ] || chmod -R a+rX "$folder"
done
umask 022  # files in containers are read by other users than you; the folder keeps others out
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# Whole or not at all: a file that is there is never touched again.
keep() {
    [ -s "secrets/$1" ] && return
    cat >"secrets/.$1.new"
    mv "secrets/.$1.new" "secrets/$1"
}
dsn() { printf 'postgresql://%s:%s@timescaledb:5432/depthgauge' "$1" "$2"; }

random | keep redis_password            # the queues and the bus
random | keep api_token                 # the exporter's JSON API and status page
random | keep grafana_admin_password    # Grafana's user `admin`
random | keep postgres_password         # the database's superuser, who owns the schema
random | keep reader_password           # the role that may only read: Grafana
dsn postgres "$(cat secrets/postgres_password)" | keep owner_dsn               # migrate
dsn depthgauge_writer "$(random)" | keep sink_dsn                              # the sink
dsn depthgauge_reader "$(cat secrets/reader_password)" | keep history_dsn      # history in the API and on the page
echo "secrets are in $(pwd)/secrets"
