-- What every upgrade shares: prove that all is well, back up and verify, stop, keep, pin, start, probe. It goes back by
-- itself when a step fails: the new version is stopped, the pin and the kept copies are put back, the old one starts, and
-- what was well before is probed again. It knows no product: names, folders and URLs come from the runbook.
local upgrade = {}

-- What must answer now, and again after a rollback: the version that is told to run, and no other. `within`: how long
-- that version may take to be up again.
function upgrade.well(w)
  if w.from and w.from == w.to then
    error("nothing to upgrade: " .. w.to .. " is the version that runs, and stays as it is", 0)
  end
  -- Whichever version answers: for the downtime.
  probe.http "answers" {
    url = w.url .. "/api/health", expect = { status = 200, json = { status = "ok" } }, within = "10s", watch = "20ms",
  }
  probe.http "well" {
    url = w.url .. "/api/health", expect = { status = 200, json = { status = "ok", version = w.from } },
    within = w.within, proves = "both",
  }
end

-- A recovery set of the version that runs, read back before anything stops. With `max_age` it is taken by something
-- else, and verified alone. `folder`: where the dump goes, if the folder is made by a step. Without `database` there
-- is none; `via`: the container that its server runs in. `passphrase`: of the product's own encrypted backups, if it
-- has any: the one at hand must be the one that the set is sealed with. Returns what upgrade.keep goes back to at the
-- worst.
function upgrade.backup(b)
  local set = b.set
  if not b.max_age then
    local dump = b.database and postgres.dump "dump" {
      database = b.database, server = b.server, via = b.via, password = b.password,
      into = (b.folder or b.set) / (b.database .. ".dump"), as = b.as,
    }
    local packed = b.blobs and blobs.archive "archive" {
      from = b.blobs, into = b.set / "blobs.tar.zst", must_hold = b.must_hold, leave_out = b.leave_out,
    }
    key.escrow "fingerprints" { key = b.keys, variables = b.variables, name = b.key_name, set = b.set }
    local sealed = backup.seal "seal" {
      set = b.set, product = b.product, version = b.version,
      database = dump and { name = b.database, dump = dump.path, lsn = dump.lsn, server_version = dump.server_version },
      blobs = packed and { archive = packed.path, manifest = packed.manifest }, passphrase = b.passphrase,
    }
    set = sealed.set
  end
  return backup.verify "verified" {
    set = set, product = b.product, version = b.version, max_age = b.max_age, passphrase = b.passphrase,
  }
end

-- After the stop, so that no acknowledged write is lost; until the start all of this is downtime. `backup`: what
-- upgrade.backup returned, which stands in for a copy that is gone when it is to be put back.
function upgrade.keep(k)
  local set = k.backup or {}
  if k.database then
    postgres.keep "keep-database" {
      database = k.database, server = k.server, via = k.via, password = k.password, as = k.as, dump = set.dump,
    }
  end
  if k.blobs then
    blobs.keep "keep-blobs" { path = k.blobs, archive = set.archive, manifest = set.manifest }
  end
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

-- What the new version has logged since its start, in a container, a unit's journal or a file, tells of no migration
-- that failed.
function upgrade.migrated(m)
  probe.logs "migrated" {
    via = m.via, unit = m.unit, log = m.log, from = m.from, service = m.service,
    must_not = { "(?i)(migrat|database).*(fail|error|exception)", "(?i)(fail|error|exception).*(migrat|database)" },
  }
end

return upgrade
