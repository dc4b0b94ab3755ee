-- A standby made anew from the primary, and the proof that it follows.
--   relight run examples/standby.lua --set primary=10.0.0.2 --set password=file:/root/replicator
runbook "standby" {}

local input = inputs {
  primary  = { doc = "host of the recovered primary", example = "10.0.0.2" },
  password = { doc = "password of the role replicator", type = "secret" },
}
local primary = "postgresql://replicator@" .. input.primary

service.stop "stop" { unit = "postgresql@15-main" }
local standby = postgres.standby "standby" {
  server = primary, password = input.password, slot = "standby1", name = "standby1",
  data = "/var/lib/postgresql/15/main", replace = true, as = "postgres",
}
service.start "start" { unit = "postgresql@15-main" }
probe.sql "streams" {
  database = primary .. "/postgres", password = input.password, sql = standby.streaming, expect = { value = 1 },
  within = "2m",
}
