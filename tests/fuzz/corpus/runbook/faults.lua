runbook "t" {}
local release = 1 --[==[ long ]==] local s = [[text]] .. 'q\065\x41\u{41}\z  b'
host.pacages "x" { install = {} }
shell.run "y" { comand = { "/bin/true" }, command = { "a", nil, "b" } }
if db == "x" then goto out end ::out::
inputs.x = 1
