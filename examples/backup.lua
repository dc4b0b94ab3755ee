-- A recovery set: database, blobs and the fingerprints of the keys, bound by one backup.json and read back. The keys
-- themselves go elsewhere.
--   relight run examples/backup.lua --set into=/backup/2026-11-21 --set keys=file:/etc/app/env
--   relight verify /backup/2026-11-21
runbook "backup" {}

local input = inputs {
  into = { doc = "a new folder for this backup", type = "path", example = "/backup/2026-11-21" },
  keys = { doc = "env file with the master key", type = "secret" },
}

host.directory "set" { path = input.into, owner = "postgres", mode = "0750" }
local dump = postgres.dump "dump" { database = "app", into = input.into / "app.dump", as = "postgres" }
local packed = blobs.archive "blobs" { from = "/srv/app/blobs", into = input.into / "blobs.tar.zst" }
key.escrow "keys" {
  key = input.keys, variables = { "APP_MASTER_KEY" }, set = input.into, into = "/media/keys/app.env",
}
local sealed = backup.seal "seal" {
  set = input.into, product = "app", version = "1.4.2",
  database = { name = "app", dump = dump.path, lsn = dump.lsn, rows = dump.rows },
  blobs = { archive = packed.path, manifest = packed.manifest },
}
backup.verify "verified" { set = sealed.set }
backup.prune "prune" { folder = "/backup", product = "app", after = { "verified" } }
