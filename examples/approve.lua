-- A question that only a person can answer. No step below starts before the yes, whatever its `after`.
runbook "approve" {}

shell.run "prepare" { command = { "/bin/echo", "nothing is changed yet" } }
approve "fenced" { prompt = "Is the old host off, or cut from the network?" }
shell.run "take-over" { command = { "/bin/echo", "taking over" },  after = {} }
