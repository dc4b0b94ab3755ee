-- Going back. `relight rollback` undoes finished steps in reverse order, and so does the run itself when a step fails.
runbook "undo" { on_failure = "rollback" }

local input = inputs {
  folder = { doc = "where to work", type = "path", default = "/tmp/relight-undo" },
}

host.directory "folder" { path = input.folder }

host.file "settings" { into = input.folder / "settings",  content = "colour = red\n" }  -- undone: the file that was there before

shell.run "mark" {
  command = { "/usr/bin/touch", input.folder / "mark" },
  undo    = { "/bin/rm", "-f", input.folder / "mark" },
  creates = input.folder / "mark",  -- so that a run in doubt can tell whether it is done
}

-- A failed step is undone as well: it may have done half of its work. Here there is nothing to put back.
shell.run "fail" { command = { "/bin/false" },  undo = { "/bin/true" } }
