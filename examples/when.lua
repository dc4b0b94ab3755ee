-- Choice. What depends on inputs is Lua's `if`; what depends on outputs is a function, asked when the step's turn comes.
runbook "when" {}

local input = inputs {
  clean = { doc = "remove what is left over", type = "bool", default = false },
}

local look = shell.run "look" { command = { "/bin/sh", "-c", "ls /etc/motd 2>/dev/null || true" } }

shell.run "count" {
  command = { "/usr/bin/wc", "-l", "/etc/motd" },
  when = function(o) return o.look.stdout ~= "" end,
  defaults = { stdout = "0 (there is no such file)" },  -- for those that use it where it was skipped
}
shell.run "tell" { command = { "/bin/echo", "at first there was: " .. look.stdout } }

if input.clean then
  shell.run "clean" { command = { "/bin/echo", "cleaning" } }
end
