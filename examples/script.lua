-- The escape hatch: a step in Lua. It runs in a process of its own, and its notes are durable before its effects.
runbook "script" {}

local input = inputs {
  folder = { doc = "where to work", type = "path", default = "/tmp" },
}

local kernel = shell.run "kernel" { command = { "/bin/uname", "-r" } }

script "report" {
  outputs = { "path", "lines" },
  run = function(ctx)
    local path = input.folder / "relight-report.txt"
    ctx.note("path", path)
    ctx.write_file(path, "kernel " .. kernel.stdout .. "\n", "0644")  -- outputs of steps above are known in here
    ctx.log("wrote " .. path)
    return { path = path, lines = ctx.run { "/usr/bin/wc", "-l", path } }
  end,
  undo = function(ctx) ctx.run { "/bin/rm", "-f", ctx.notes.path } end,
  check = function(ctx)  -- found in doubt after a crash: without the note it had not begun, else a person is asked
    if not ctx.notes.path then return false end
  end,
}
