-- What every upgrade shares: prove that all is well, back up and verify, stop, keep, pin, start, probe. It goes back by
-- itself when a step fails: the new version is stopped, the pin and the kept copies are put back, the old one starts, and
-- what was well before is probed again. It knows no product: names, folders and URLs come from the runbook.
local upgrade = {}

-- What must answer now, and again after a rollback.
function upgrade.well(w)
  probe.http "well" {
    url = w.url .. "/api/health", expect = { status = 200, json = { status = "ok" } }, within = w.within, proves = "both",
  }
end

-- A recovery set of the version that runs, read back before anything stops.
function upgrade.backup(b)
  local dump = postgres.dump "dump" {
    database = b.database, server = b.server, into = b.set / (b.database .. ".dump"), as = b.as,
  }
  local packed = blobs.archive "archive" { from = b.blobs, into = b.set / "blobs.tar.zst" }
  key.escrow "fingerprints" { key = b.keys, variables = b.variables, set = b.set }
  local sealed = backup.seal "seal" {
    set = b.set, product = b.product, version = b.version,
    database = { name = b.database, dump = dump.path, lsn = dump.lsn, server_version = dump.server_version },
    blobs = { archive = packed.path, manifest = packed.manifest },
  }
  backup.verify "verified" { set = sealed.set, product = b.product, version = b.version }
end

-- After the stop, so that no acknowledged write is lost; until the start all of this is downtime.
function upgrade.keep(k)
  postgres.keep "keep-database" { database = k.database, server = k.server, as = k.as }
  blobs.keep "keep-blobs" { path = k.blobs }
end

-- The new version, and no other, answers; and goes on answering.
function upgrade.probes(p)
  probe.http "ready" {
    service = p.service.identity, url = p.url .. "/readyz", within = p.within, hold = p.hold,
  }
  probe.http "health" {
    service = p.service.identity, url = p.url .. "/api/health", within = p.within,
    expect = { status = 200, json = { status = "ok", version = p.version } },
  }
end

return upgrade
