-- Upgrade Sophon, as its compose file runs it, and go back to the pinned images by itself when anything fails. The order
-- is that of every upgrade: upgrading.lua. The database goes on running: its container and those of Qdrant, Redis and
-- RabbitMQ are not touched, and what these three hold is not in the backup. Migrations run when the gateway starts.
local upgrade = require "upgrading"

local input = inputs {
  from      = { doc = "version that runs now", example = "1.1.0" },
  version   = { doc = "version to upgrade to: the tag of both images", example = "1.2.0" },
  file      = { doc = "Sophon's compose file", type = "path", default = "/opt/sophon/docker-compose.yml" },
  project   = { doc = "its project, where that is not the name of the file's folder", optional = true },
  data      = { doc = "SOPHON_DATA", type = "path", default = "/opt/sophon/data" },
  backup    = { doc = "a new folder for the backup that is taken first", type = "path",
                example = "/backup/before-1.2.0" },
  gateway   = { doc = "service of the gateway", default = "sophon-gateway" },
  dashboard = { doc = "service of the dashboard", default = "sophon-dashboard" },
  database  = { doc = "service of PostgreSQL (Pro, Enterprise), as \"postgres\"; none: Personal", optional = true },
  password  = { doc = "password of the database's user sophon", type = "secret", optional = true },
  passphrase = { doc = "passphrase of Sophon's own encrypted backups, if it makes any, as env:SOPHON_BACKUP_PASSPHRASE",
                 type = "secret", optional = true },
  port      = { doc = "port of the host that the gateway answers on", type = "int", default = 8081 },
  within    = { doc = "how long a version may take to be up", type = "duration", default = "5m" },
  hold      = { doc = "for how long the new version must answer", type = "duration", default = "20s" },
}
runbook "sophon-upgrade" { on_failure = "rollback" }
if input.from == input.version then
  error("nothing to upgrade: " .. input.version .. " is the version that runs, and stays as it is", 0)
end
local function service_named(name)
  return compose{ file = input.file, project = input.project, service = name }
end
local gateway, dashboard = service_named(input.gateway), service_named(input.dashboard)
local database = input.database and service_named(input.database)
local health = "http://127.0.0.1:" .. input.port .. "/api/health"

probe.http "well" { url = health, within = input.within, proves = "both", watch = "20ms" }
local set = upgrade.backup {
  set = input.backup, product = "sophon", version = input.from,
  database = database and "sophon", server = "user=sophon", via = database, password = input.password,
  -- Logs are written while they are read, and a backup of changing files is refused.
  blobs = input.data, must_hold = { "security/vault.key" }, leave_out = { "logs" },
  keys = secret.file(input.data / "security/vault.key"), key_name = "vault.key",
  passphrase = input.passphrase,
}

service.stop "stop-dashboard" { via = dashboard, within = "1m" }
service.stop "stop" { via = gateway, port = input.port, within = "1m" }
upgrade.keep {
  database = database and "sophon", server = "user=sophon", via = database, password = input.password, blobs = input.data,
  backup = set,
}

compose.pin "pin" {
  file = input.file, images = { [input.gateway] = input.version, [input.dashboard] = input.version },
  from = { [input.gateway] = input.from, [input.dashboard] = input.from },
}
local app = service.start "sophon" { via = gateway, port = input.port, version = input.version, within = input.within }
service.start "dashboard" { via = dashboard, within = input.within }
probe.http "ready" { service = app.identity, url = health, within = input.within, hold = input.hold }
upgrade.migrated { via = gateway, service = app.identity }
