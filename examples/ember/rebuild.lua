-- Rebuild a lost Ember host, on a machine where no systemd runs. The order is that of every rebuild: recovery.lua.
local recovery = require "recovery"

local input = inputs {
  version    = { doc = "version the backup was made with", example = "1.0.0" },
  backup     = { doc = "folder of the recovery set that `ember backup` wrote", type = "location" },
  keys       = { doc = "env file with the master key and the media secret, kept apart", type = "secret" },
  by         = { doc = "recover by the WAL archive, or by the dump",
                 type = "choice", choices = { "wal", "dump" }, default = "wal" },
  recover_to = { doc = "moment to recover to, by WAL", type = "moment", default = "latest" },
  lost_at    = { doc = "when the host was lost, if known", type = "time", optional = true },
  anew       = { doc = "folder for the WAL and a base backup of the new timeline; else nothing is protected",
                 type = "path", optional = true },
  home       = { doc = "folder that Ember lives in", type = "path", default = "/srv/ember" },
  port       = { doc = "port that it answers on, as EMBER_LISTEN has it", type = "int", default = 8600 },
  cluster    = { doc = "name of its PostgreSQL 15 cluster", default = "ember" },
  pg_port    = { doc = "port of that cluster, when it is made anew for a dump", default = "5432" },
}
-- A dump bears the time that it was made at without its zone: what was lost since cannot be measured.
runbook "ember-rebuild" { budget = { rto = "10m", rpo = input.by == "wal" and "5m" or nil } }
local home, pid_file = input.home, input.home / "run/ember.pid"

recovery.fence()
recovery.server "15"
service.stop "stop" { pid_file = pid_file, port = input.port }
recovery.user "ember"
host.directory "run" { path = home / "run", owner = "ember", mode = "0750" }

local pinned = recovery.release { product = "ember", version = input.version, set = input.backup, into = home }
recovery.keys {
  from = input.keys, set = input.backup, into = home / "env", owner = "ember",
  variables = { "EMBER_MASTER_KEY", "EMBER_MEDIA_TOKEN_SECRET" },
}

local db = recovery.database {
  by = input.by, set = input.backup, to = input.recover_to, lost_at = input.lost_at, anew = input.anew,
  version = "15", cluster = input.cluster, port = input.pg_port, name = "ember", role = "ember", timeout = "5m",
}
recovery.blobs { set = input.backup, into = home / "blobs", owner = "ember" }
recovery.vault { database = db, key = input.keys, variable = "EMBER_MASTER_KEY" }

local app = service.start "ember" {
  command = { home / "current/bin/ember", "serve" }, as = "ember", env_file = home / "env",
  pid_file = pid_file, log = home / "run/ember.log", port = input.port, version = pinned.version,
}
recovery.probes {
  service = app, url = "http://127.0.0.1:" .. input.port, hold = "3s",
  health = { status = "ok", version = input.version },
}
if input.anew and input.by == "wal" then
  recovery.protect { database = db, anew = input.anew }
end
