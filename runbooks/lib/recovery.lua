-- What every rebuild shares: host, release, keys, database, blobs, vault, probes, in the order that a recovery needs.
-- It knows no product: names, folders and URLs come from the runbook. `set` is the folder of a recovery set.
local recovery = {}

-- Two hosts that both believe to be the one write into the same archive and answer the same clients.
function recovery.fence()
  approve "fenced" { prompt = "Is the old host off, or cut from the network?" }
end

-- The database server of the version that made the backup, and the folders in which Debian keeps its clusters.
function recovery.server(version)
  host.packages "packages" { install = { ["postgresql-" .. version] = version .. ".*" } }
  host.directory "clusters" { path = "/var/lib/postgresql" / version, owner = "postgres" }
  host.directory "clusters-config" { path = "/etc/postgresql" / version, owner = "postgres" }
end

-- The system user that the service runs as, and that owns what is restored for it.
function recovery.user(name)
  shell.run "user" {
    command = { "useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name },
    check = { "id", name }, undo = { "userdel", name },
  }
end

function recovery.release(r)
  return release.pin "release" { product = r.product, version = r.version, from = r.set / "releases", into = r.into }
end

-- The keys are no part of the set. They are compared with its fingerprints before anything is written.
function recovery.keys(k)
  return key.restore "keys" {
    from = k.from, into = k.into, other = k.set / "env",  -- the lines that are not secret
    variables = k.variables, fingerprints = k.set / "backup.json", owner = k.owner,
  }
end

-- By "wal": the base backup, and the archive up to the moment. By "dump": the daily dump, as it was when it was made.
function recovery.database(d)
  local data = "/var/lib/postgresql" / d.version / d.cluster
  local unit = "postgresql@" .. d.version .. "-" .. d.cluster
  if d.by == "dump" then return recovery.dump(d, data, unit) end
  service.stop "postgresql-stop" { unit = unit }
  if d.anew then
    host.directory "anew" { path = d.anew, owner = "postgres", mode = "0700" }
  end
  local db = postgres.recover "database" {
    base = d.set / "base", wal = { d.set / "wal" }, to = d.to, lost_at = d.lost_at,
    data = data, config = d.set / "etc-postgresql", database = d.name,
    archive_into = d.anew and d.anew / "wal",
    as = "postgres", timeout = d.timeout,
  }
  service.start "postgresql" { unit = unit }
  return db
end

-- Last of all, in the folder that the new timeline is archived into: until then nothing is protected.
function recovery.protect(p)
  postgres.base_backup "protect" {
    server = p.database.url, into = p.anew / "base", config_into = p.anew / "etc-postgresql", as = "postgres",
  }
end

-- A dump goes into a running server, and names roles that must be there. The server is a new one: the settings of the
-- lost one, archiving among them, do not come with a dump.
function recovery.dump(d, data, unit)
  local role_is_there = "select 1 / count(*) from pg_roles where rolname = '" .. d.role .. "'"
  shell.run "cluster" {
    command = {
      "pg_createcluster", "--port", d.port, "--encoding", "UTF8", "--locale", "C.UTF-8", d.version, d.cluster,
    },
    creates = data / "PG_VERSION", undo = { "pg_dropcluster", "--stop", d.version, d.cluster },
  }
  service.start "postgresql" { unit = unit }
  shell.run "role" {
    command = { "createuser", "--port", d.port, d.role }, as = "postgres",
    check = { "psql", "--port", d.port, "-Xqc", role_is_there },
    undo = { "dropuser", "--port", d.port, "--if-exists", d.role },
  }
  return postgres.restore "database" {
    dump = d.set / (d.name .. ".dump"), server = "port=" .. d.port, database = d.name, owner = d.role,
    as = "postgres", timeout = d.timeout,
  }
end

-- Beside the database: they need the keys and what those wait for, and nothing of the server.
function recovery.blobs(b)
  return blobs.restore "blobs" {
    from = b.set / "blobs.tar.zst", manifest = b.set / "blobs.sha256", into = b.into, owner = b.owner,
    after = { "keys" },
  }
end

-- Before any service starts: the rows that came back are opened with the key that came back.
function recovery.vault(v)
  key.prove "vault" {
    database = v.database.url, as = "postgres", sql = "select sealed from vault", rows = 100,
    key = v.key, variable = v.variable,
  }
end

-- The answers must come from the service that this run started, and go on coming.
function recovery.probes(p)
  probe.http "ready" { service = p.service.identity, url = p.url / "readyz", within = "2m", hold = p.hold or "20s" }
  probe.http "health" { url = p.url / "api/health", expect = { status = 200, json = p.health } }
end

return recovery
