runbook "when" {}
local look = shell.run "look" { command = { "/bin/ls" }, env = { KEY = secret.env "KEY" } }
shell.run "count" { command = { "/usr/bin/wc" }, when = function(o) return o.look.stdout ~= "" end, defaults = { stdout = "0", exit = 0 } }
for i = 1, 3 do shell.run("step " .. i) { command = { "/bin/true", tostring(i) }, on_failure = "continue", waive = "why" } end
probe.http "ready" { url = "http://127.0.0.1/", within = "2m", expect = { status = 200, json = { a = { 1, 2 } } } }
