runbook "script" {}
local common = require "common"
local db = postgres.recover "database" { base = "/b", wal = { "/w" }, to = "2026-11-21T10:26:00Z", data = "/d", config = "file:///c" }
script "report" {
  outputs = { "path" },
  run = function(ctx) ctx.log(db.url .. common.port) return { path = common.name("b") } end,
  undo = function(ctx, outputs) ctx.run { "/bin/rm", outputs.path } end,
}
for k, v in pairs { b = 1, a = 2, [3] = "x" } do shell.run("s" .. k) { command = { "/bin/echo", string.format("%5.2f %q", v == "x" and 1 or v, k) } } end
local t = { 3, 1, 2 } table.sort(t, function(a, b) return a > b end)
key.restore "k" { from = secret.file "/root/k", into = "/etc/k", variables = { "A" }, after = {} }
