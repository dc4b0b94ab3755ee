-- Upgrade an AiHummer host, as rebuild.lua installs it, and go back to the pinned version by itself when anything fails.
-- The order is that of every upgrade: upgrading.lua. `relight rollback` does the same by hand, hours later; what was
-- written since is put aside then.
local upgrade = require "upgrading"

local input = inputs {
  from      = { doc = "version that runs now", example = "1.4.2" },
  version   = { doc = "version to upgrade to", example = "1.5.0" },
  releases  = { doc = "folder with aihummer-VERSION.tar.zst and SHA256SUMS", type = "location" },
  backup    = { doc = "a new folder for the backup that is taken first", type = "path",
                example = "/backup/before-1.5.0" },
  max_age   = { doc = "take no backup: verify the one that lies there, which may be this old", type = "duration",
                optional = true },
  blobs     = { doc = "AIHUMMER_BLOB_DIR, if media is in use", type = "path", optional = true },
  unchanged = { doc = "SQL whose answer the upgrade must not change, as \"select count(*) from conversations\"",
                optional = true },
  within    = { doc = "how long a version may take to be ready", type = "duration", default = "2m" },
  hold      = { doc = "for how long the new version must answer", type = "duration", default = "20s" },
}
runbook "aihummer-upgrade" { on_failure = "rollback" }
local url, env, smoke = "http://127.0.0.1:8080", "/etc/aihummer/env", { "/opt/aihummer/current/deploy/host/smoke.sh" }
local server = "host=/var/run/postgresql"

upgrade.well { url = url, from = input.from, to = input.version, within = input.within }
probe.command "smoke-before" { command = smoke, proves = "both" }
local folder
if not input.max_age then  -- the server's own user writes the dump
  folder = host.directory "backup-folder" { path = input.backup, owner = "postgres", mode = "0750" }.path
end
local set = upgrade.backup {
  set = input.backup, folder = folder, max_age = input.max_age, product = "aihummer", version = input.from,
  database = "aihummer", server = server, as = "postgres", blobs = input.blobs,
  keys = secret.file(env), variables = { "AIHUMMER_MASTER_KEY", "AIHUMMER_MEDIA_TOKEN_SECRET" },
}

service.stop "stop" { unit = "aihummer", port = 8080, within = "2m" }
local database, same = server .. " dbname=aihummer", nil
if input.unchanged then
  same = probe.sql "content" { database = database, sql = input.unchanged, as = "postgres" }
end
upgrade.keep { database = "aihummer", server = server, as = "postgres", blobs = input.blobs, backup = set }

local pinned = release.pin "release" {
  product = "aihummer", version = input.version, from = input.releases, into = "/opt/aihummer",
}
local app = service.start "aihummer" { unit = "aihummer", port = 8080, version = pinned.version, within = input.within }
upgrade.probes { service = app, url = url, version = input.version, within = input.within, hold = input.hold }
upgrade.migrated { unit = "aihummer", service = app.identity }
probe.command "smoke" { command = smoke }
if same then
  probe.sql "content-kept" {
    database = database, sql = input.unchanged, expect = { value = same.value }, as = "postgres", within = "1s",
  }
end
