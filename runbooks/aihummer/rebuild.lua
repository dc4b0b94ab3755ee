-- Rebuild a lost AiHummer host: the same version, its keys, the database, the blobs, the service, the probes.
-- Without a WAL archive: --set by=dump, which brings back the day's dump and nothing after it.
local recovery = require "recovery"

local input = inputs {
  version    = { doc = "version the backup was made with", example = "1.4.2" },
  backup     = { doc = "folder or URL of the recovery set", type = "location" },
  keys       = { doc = "env file with the master key and the media secret, kept apart from the backup",
                 type = "secret" },
  blobs      = { doc = "AIHUMMER_BLOB_DIR, if media is in use", type = "path", optional = true },
  user       = { doc = "system user that its unit names, if it does not run as root", optional = true },
  by         = { doc = "recover by the WAL archive, or by the daily dump",
                 type = "choice", choices = { "wal", "dump" }, default = "wal" },
  recover_to = { doc = "moment to recover to, by WAL", type = "moment", default = "latest" },
  lost_at    = { doc = "when the host was lost, if known", type = "time", optional = true },
  anew       = { doc = "folder for the WAL and a base backup of the new timeline; else nothing is protected",
                 type = "path", optional = true },
}
-- A dump bears the time that it was made at without its zone: what was lost since cannot be measured.
runbook "aihummer-rebuild" { budget = { rto = "30m", rpo = input.by == "wal" and "5m" or nil } }

recovery.fence()
recovery.server "15"
service.stop "stop" { unit = "aihummer" }
if input.user then
  recovery.user(input.user)
end

local pinned = recovery.release {
  product = "aihummer", version = input.version, set = input.backup, into = "/opt/aihummer",
}
host.file "unit" { from = input.backup / "aihummer.service", into = "/etc/systemd/system/aihummer.service" }

recovery.keys {
  from = input.keys, set = input.backup, into = "/etc/aihummer/env",
  variables = { "AIHUMMER_MASTER_KEY", "AIHUMMER_MEDIA_TOKEN_SECRET" }, owner = input.user,
}

local db = recovery.database {
  by = input.by, set = input.backup, to = input.recover_to, lost_at = input.lost_at, anew = input.anew,
  version = "15", cluster = "main", port = "5432", name = "aihummer", role = "aihummer", timeout = "25m",
}
if input.blobs then
  recovery.blobs { set = input.backup, into = input.blobs, owner = input.user }
end
recovery.vault { database = db, key = input.keys, variable = "AIHUMMER_MASTER_KEY" }

local app = service.start "aihummer" { unit = "aihummer", version = pinned.version, enable = true }

recovery.probes { service = app, url = "http://127.0.0.1:8080", health = { status = "ok" } }
probe.command "smoke" { command = { "/opt/aihummer/current/deploy/host/smoke.sh" } }
if input.anew and input.by == "wal" then
  recovery.protect { database = db, anew = input.anew }
end
