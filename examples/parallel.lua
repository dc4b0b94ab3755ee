-- What waits for what. A step waits for every step above it, unless `after` says which it needs.
runbook "parallel" {}

local left  = shell.run "left"  { command = { "/bin/sleep", "1" } }
local right = shell.run "right" { command = { "/bin/sleep", "1" },  after = {} }   -- at the same time as left
shell.run "more" { command = { "/bin/sleep", "1" },  after = { left } }            -- does not wait for right

-- A handle in a parameter is a need, too: `sum` waits for left and right, not for more.
shell.run "sum" { command = { "/bin/echo", left.exit .. " and " .. right.exit },  after = {} }

-- Lua's own loops make steps. Without `after`, the last step waits for all of them.
for i = 1, 3 do
  shell.run("copy-" .. i) { command = { "/bin/echo", "copy " .. i },  after = { "sum" } }
end
shell.run "end" { command = { "/bin/echo", "all done" } }
