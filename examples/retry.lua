-- Trying again, and giving up in time. Only errors that may pass by themselves are tried again.
runbook "retry" { on_failure = "stop" }

probe.tcp "port" { port = 5432,  retry = { attempts = 5, backoff = "1s" },  timeout = "30s" }

-- Nice to have: the run goes on without it, and ends with 0 because the reason is written down.
shell.run "warm" {
  command = { "/usr/bin/curl", "--fail", "http://127.0.0.1:8080/warm" },  timeout = "1m",
  on_failure = "continue",  waive = "the cache fills by itself",
}
