-- The smallest runbook: one input, one step. `relight plan examples/hello.lua` shows it, `relight run` runs it.
runbook "hello" { doc = "says hello" }

local input = inputs {
  name = { doc = "whom to greet", default = "world" },
}

shell.run "greet" { command = { "/bin/echo", "hello, " .. input.name } }
