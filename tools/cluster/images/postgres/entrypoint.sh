#!/bin/sh
# Starts PostgreSQL on the volume at $PGDATA, after creating the cluster there when it is empty.
# Environment, as in the public image: POSTGRES_PASSWORD (needed), POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS.
# Besides: POSTGRES_FSYNC=off for throwaway data. Arguments go to the server: -c name=value
set -eu

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

# A volume's top folder belongs to root, and PostgreSQL wants one of its own.
PGDATA=$PGDATA/pgdata
export PGDATA

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?is not set: the superuser needs a password}"
  # Made beside its place and renamed: a container that is killed here leaves nothing that initdb would refuse.
  draft=$PGDATA.init
  rm -rf "$draft"
  password=$(mktemp)
  trap 'rm -f "$password"' EXIT
  printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
  # shellcheck disable=SC2086  # several arguments by intent
  initdb --pgdata="$draft" --username="$user" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync ${POSTGRES_INITDB_ARGS:-} > /dev/null
  rm -f "$password"
  # Replication too, for tests of base backups.
  printf 'host all all all scram-sha-256\nhost replication all all scram-sha-256\n' >> "$draft/pg_hba.conf"
  if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \"$database\" OWNER \"$user\";" | postgres --single -j -D "$draft" postgres > /dev/null
  fi
  mv "$draft" "$PGDATA"
fi

set -- -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
if [ "${POSTGRES_FSYNC:-on}" = off ]; then
  set -- -c fsync=off -c synchronous_commit=off -c full_page_writes=off "$@"
fi
exec postgres -D "$PGDATA" "$@"
