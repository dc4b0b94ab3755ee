-- Secrets are references: the plan, the journal and the logs hold "env:NAME" or "file:PATH", never the bytes.
--   relight run examples/secret.lua --set token=env:API_TOKEN
runbook "secret" {}

local input = inputs {
  token = { doc = "the API's token", type = "secret" },
}

shell.run "call" {
  command = { "/bin/sh", "-c", "printf 'the token has %s letters\\n' ${#TOKEN}" },
  env = { TOKEN = input.token },
}

script "call-from-lua" {
  secrets = { token = input.token },
  outputs = { "letters" },
  run = function(ctx) return { letters = #ctx.secrets.token } end,
}
