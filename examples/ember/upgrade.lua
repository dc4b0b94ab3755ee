-- Upgrade Ember, and go back to the pinned version by itself when anything fails. The order is that of every upgrade:
-- upgrading.lua. `relight rollback` does the same by hand, hours later; what was written since is put aside then.
local upgrade = require "upgrading"

local input = inputs {
  from     = { doc = "version that runs now", example = "1.0.0" },
  version  = { doc = "version to upgrade to", example = "1.1.0" },
  releases = { doc = "folder with ember-VERSION.tar.zst and SHA256SUMS", type = "location" },
  backup   = { doc = "a new folder for the backup that is taken first", type = "path", example = "/backup/before-1.1.0" },
  max_age  = { doc = "take no backup: verify the one that lies there, which may be this old", type = "duration",
               optional = true },
  home     = { doc = "folder that Ember lives in", type = "path", default = "/srv/ember" },
  port     = { doc = "port that it answers on, as EMBER_LISTEN has it", type = "int", default = 8600 },
  server   = { doc = "its PostgreSQL server, as libpq takes it", default = "host=/var/run/postgresql" },
  user     = { doc = "system user that it runs as", default = "ember" },
  within   = { doc = "how long a version may take to be ready", type = "duration", default = "1m" },
  hold     = { doc = "for how long the new version must answer", type = "duration", default = "20s" },
}
runbook "ember-upgrade" { on_failure = "rollback" }
local home, url = input.home, "http://127.0.0.1:" .. input.port
local env, pid_file = home / "env", home / "run/ember.pid"

upgrade.well { url = url, from = input.from, to = input.version, within = input.within }
local set = upgrade.backup {
  set = input.backup, max_age = input.max_age, product = "ember", version = input.from, database = "ember", server = input.server,
  blobs = home / "blobs", keys = secret.file(home / "env"),
  variables = { "EMBER_MASTER_KEY", "EMBER_MEDIA_TOKEN_SECRET" },
}

service.stop "stop" {
  command = { home / "current/bin/ember", "serve" }, as = input.user, env_file = env,
  pid_file = pid_file, log = home / "run/ember.log", port = input.port, within = "1m",
}
-- What every note says, before and after: a migration may add to it, and change nothing.
local content = "select count(*) || ' ' || coalesce(md5(string_agg(id || title || body, ',' order by id)), '') from notes"
local database = input.server .. " dbname=ember"
local notes = probe.sql "notes" { database = database, sql = content }
upgrade.keep { database = "ember", server = input.server, blobs = home / "blobs", backup = set }

local pinned = release.pin "release" {
  product = "ember", version = input.version, from = input.releases, into = home,
}
local app = service.start "ember" {
  command = { home / "current/bin/ember", "serve" }, as = input.user, env_file = env,
  pid_file = pid_file, log = home / "run/ember.log", port = input.port, version = pinned.version, within = input.within,
}
upgrade.probes { service = app, url = url, version = input.version, within = input.within, hold = input.hold }
upgrade.migrated { log = home / "run/ember.log", from = app.log_from }
probe.sql "notes-kept" { database = database, sql = content, expect = { value = notes.value }, within = "1s" }
