runbook "hello" { doc = "says hello", budget = { rto = "5m", rpo = "30s" }, on_failure = "rollback" }
local input = inputs { name = { default = "world" }, where = { type = "path", default = "/srv" }, at = { type = "moment", optional = true } }
approve "fenced" { prompt = "Is it off?" }
local say = shell.run "greet" { command = { "/bin/echo", "hello, " .. input.name }, timeout = "5s", retry = { attempts = 3, backoff = "1s" } }
shell.run "again" { command = { "/bin/echo", say.stdout, input.where / "x" }, after = { "greet" }, creates = input.where / "mark" }
