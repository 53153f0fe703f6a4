#!/bin/sh
# Starts PostgreSQL on the volume at $PGDATA, after creating the cluster there when it is empty.
# Environment, as in the public image: POSTGRES_PASSWORD (needed), POSTGRES_USER, POSTGRES_DB, POSTGRES_INITDB_ARGS.
# Besides: POSTGRES_FSYNC=off for throwaway data. Arguments go to the server: -c name=value
set -eu

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

# The volume's own folder belongs to root or carries lost+found: the data live one level below then.
if [ ! -w "$PGDATA" ] || [ ! -O "$PGDATA" ]; then
  PGDATA=$PGDATA/pgdata
  export PGDATA
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?is not set: the superuser needs a password}"
  # A run that was killed half way leaves a folder that initdb refuses; build beside it and rename.
  draft=$PGDATA.init
  if [ -O "$PGDATA" ]; then draft=$PGDATA/.init; fi
  rm -rf "$draft"
  password=$(mktemp)
  trap 'rm -f "$password"' EXIT
  printf '%s\n' "$POSTGRES_PASSWORD" > "$password"
  # shellcheck disable=SC2086  # several arguments by intent
  initdb --pgdata="$draft" --username="$user" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync ${POSTGRES_INITDB_ARGS:-} > /dev/null
  rm -f "$password"
  echo 'host all all all scram-sha-256' >> "$draft/pg_hba.conf"
  # Replication too, for tests of base backups.
  echo 'host replication all all scram-sha-256' >> "$draft/pg_hba.conf"
  if [ "$database" != postgres ]; then
    echo "CREATE DATABASE \"$database\" OWNER \"$user\";" | postgres --single -j -D "$draft" postgres > /dev/null
  fi
  if [ "$draft" = "$PGDATA/.init" ]; then
    # PG_VERSION last: it marks the cluster as complete.
    for item in "$draft"/*; do
      case $item in */PG_VERSION) ;; *) rm -rf "${PGDATA:?}/${item##*/}"; mv "$item" "$PGDATA/" ;; esac
    done
    mv "$draft/PG_VERSION" "$PGDATA/"
    rmdir "$draft"
    chmod 0700 "$PGDATA"
  else
    mv "$draft" "$PGDATA"
  fi
fi

set -- -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
if [ "${POSTGRES_FSYNC:-on}" = off ]; then
  set -- -c fsync=off -c synchronous_commit=off -c full_page_writes=off "$@"
fi
exec postgres -D "$PGDATA" "$@"
