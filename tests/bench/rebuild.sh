#!/usr/bin/env bash
# The same rebuild by the documented commands, one after the other, verifying the same things: rebuild.sh SET KEYS ROOT PORT
set -euo pipefail
set=$1 keys=$2 root=$3 port=$4
PATH=/usr/lib/postgresql/15/bin:$PATH

grep '^MASTER_KEY=' "$keys" >"$root/env" && chmod 0600 "$root/env"

mkdir -m 0700 "$root/data"
tar -x -I zstd -f "$set/base/base.tar.zst" -C "$root/data"
cp "$set/base/backup_manifest" "$root/data"
pg_verifybackup --quiet --no-parse-wal "$root/data"

mkdir "$root/checked"
for segment in "$set"/wal/*.gz; do
  name=$(basename "$segment" .gz)
  gzip -dc "$segment" >"$root/checked/$name"
done
first=$(sed -n 's/.*(file \([0-9A-F]*\)).*/\1/p' "$root/data/backup_label" | head -n 1)
start=$(sed -n 's/^START WAL LOCATION: \([0-9A-F/]*\).*/\1/p' "$root/data/backup_label")
pg_waldump --quiet --path="$root/checked" --start="$start" "$first" "$(ls "$root/checked" | tail -n 1)"
rm -r "$root/checked"

cat >>"$root/data/postgresql.conf" <<END
restore_command = 'gzip -dc <$set/wal/%f.gz >%p'
archive_mode = off
unix_socket_directories = '$root'
port = $port
END
touch "$root/data/recovery.signal"
pg_ctl -D "$root/data" -l "$root/server.log" -w -s start
until [ "$(psql -h "$root" -p "$port" -U postgres -Atc 'select pg_is_in_recovery()' postgres)" = f ]; do sleep 0.05; done

mkdir "$root/blobs"
tar -x -I zstd -f "$set/blobs.tar.zst" -C "$root/blobs"
(cd "$root/blobs" && sha256sum --quiet -c "$set/blobs.sha256")
sync -f "$root"

[ "$(psql -h 127.0.0.1 -p "$port" -U postgres -Atc 'select count(*) > 0 from pgbench_accounts' postgres)" = t ]
