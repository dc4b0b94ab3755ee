-- A rebuild in the reference order (key, database, blobs, service, probe), into a folder in place of a host.
local input = inputs {
  set  = { doc = "the recovery set", type = "location" },
  keys = { doc = "env file with the master key", type = "secret" },
  root = { doc = "the folder", type = "path" },
  port = { doc = "of the database", type = "int" },
}
runbook "rebuild" {}

key.restore "keys" { from = input.keys, into = input.root / "env", variables = { "MASTER_KEY" } }
postgres.recover "database" {
  base = input.set / "base", wal = { input.set / "wal" }, data = input.root / "data", after = { "keys" },
}
blobs.restore "blobs" {
  from = input.set / "blobs.tar.zst", manifest = input.set / "blobs.sha256", into = input.root / "blobs",
  after = { "keys" },
}
local server = service.start "postgresql" {
  command = {
    "/usr/lib/postgresql/15/bin/postgres", "-D", input.root / "data", "-k", input.root, "-p", "" .. input.port,
    "-c", "archive_mode=off",
  },
  pid_file = input.root / "server.pid", log = input.root / "server.log", port = input.port,
}
probe.sql "rows" {
  database = "host=127.0.0.1 user=postgres dbname=postgres port=" .. input.port,
  sql = "select count(*) > 0 from pgbench_accounts", within = "1m",
}
