#include "steps/postgres/lib/soundness.h"

#include "runner/sys/error.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"

namespace relight::postgres {
namespace {

// A query of two columns: what, and its mend.
Flaws flaws_of(sys::Sql& sql, const char* query) {
  Flaws flaws;
  for (const auto& row : sql.query(query).rows) flaws.push_back({row[0].value_or(""), row[1].value_or("")});
  return flaws;
}

// NAME and COLUMN of tables, and the sequences that they own. A column is indexed where an index leads with
// it.
constexpr const char* sequences_query = R"(
SELECT s.oid::regclass::text, d.refobjid::regclass::text, quote_ident(a.attname), q.seqincrement > 0,
       quote_ident(sn.nspname) || '.' || quote_ident(s.relname)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace sn ON sn.oid = s.relnamespace JOIN pg_sequence q ON q.seqrelid = s.oid
JOIN pg_class t ON t.oid = d.refobjid AND t.relkind IN ('r', 'p')
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
  AND ($1 OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indkey[0] = a.attnum
                     AND i.indisvalid AND i.indpred IS NULL))
ORDER BY 1)";

}  // namespace

Flaws invalid_indexes(sys::Sql& sql) {
  return flaws_of(
      sql,
      "SELECT 'the index ' || indexrelid::regclass || ' of ' || indrelid::regclass || ' is not "
      "valid', 'REINDEX INDEX ' || indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = "
      "indexrelid WHERE relkind = 'i' AND NOT (indisvalid AND indisready AND indislive) ORDER BY 1");
}

Flaws changed_collations(sys::Sql& sql) {
  // The database's own collation, of which older servers note no version, is that of the number 100.
  const bool has_own = sql.query(
                              "SELECT count(*) FROM pg_attribute WHERE attrelid = 'pg_database'::regclass "
                              "AND attname = 'datcollversion'")
                           .one() == "1";
  const std::string own = has_own ? " UNION ALL SELECT 100::oid, quote_ident(datname), datcollversion, "
                                    "pg_database_collation_actual_version(oid), 'ALTER DATABASE ' || "
                                    "quote_ident(datname) || ' REFRESH "
                                    "COLLATION VERSION' FROM pg_database WHERE datname = current_database()"
                                  : "";
  return flaws_of(
      sql,
      ("SELECT 'the collation of ' || c.name || ' has version ' || c.now || ' here, and was ' || c.was || "
       "coalesce(': indexes ' || string_agg(x.indexrelid::regclass::text, ', ' ORDER BY "
       "x.indexrelid::regclass::text), ''), coalesce(string_agg('REINDEX INDEX ' || x.indexrelid::regclass, "
       "'; ' ORDER BY x.indexrelid::regclass::text) || '; ', '') || c.refresh FROM (SELECT oid, "
       "oid::regcollation::text AS name, collversion AS was, pg_collation_actual_version(oid) AS now, 'ALTER "
       "COLLATION ' || oid::regcollation || ' REFRESH VERSION' AS refresh FROM pg_collation WHERE "
       "collversion IS NOT NULL" +
       own +
       ") c LEFT JOIN pg_index x ON c.oid = ANY (x.indcollation) AND x.indrelid >= 16384 WHERE c.was IS "
       "DISTINCT FROM c.now AND c.was IS NOT NULL AND c.now IS NOT NULL GROUP BY c.oid, c.name, c.was, "
       "c.now, "
       "c.refresh ORDER BY 1")
          .c_str());
}

Flaws changed_extensions(sys::Sql& sql) {
  return flaws_of(
      sql,
      "SELECT 'the extension ' || quote_ident(e.extname) || ' is version ' || e.extversion || ', and this "
      "host ' "
      "|| coalesce('installs ' || a.default_version, 'has none of it'), CASE WHEN a.default_version IS NULL "
      "THEN "
      "'install its package' ELSE 'ALTER EXTENSION ' || quote_ident(e.extname) || ' UPDATE' END FROM "
      "pg_extension "
      "e LEFT JOIN pg_available_extensions a ON a.name = e.extname WHERE a.default_version IS DISTINCT FROM "
      "e.extversion ORDER BY 1");
}

Flaws failed_checksums(sys::Sql& sql) {
  return flaws_of(
      sql,
      "SELECT checksum_failures || ' pages failed their checksum, the last at ' || "
      "checksum_last_failure, 'check with depth = \"full\" which, and restore them from a backup' FROM "
      "pg_stat_database WHERE datname = current_database() AND checksum_failures > 0");
}

Flaws sequences_behind(sys::Sql& sql, bool every) {
  Flaws flaws;
  for (const auto& row : sql.query(sequences_query, {every ? "t" : "f"}).rows) {
    const bool up = *row[3] == "t";
    const sys::Rows told =
        sql.query(std::string("SELECT s.next, t.far FROM (SELECT last_value + CASE WHEN "
                              "is_called THEN (SELECT seqincrement FROM pg_sequence WHERE "
                              "seqrelid = $1::regclass) ELSE 0 END AS next FROM ") +
                      *row[4] + ") s, (SELECT " + (up ? "max(" : "min(") + *row[2] + ") AS far FROM " +
                      *row[1] + ") t WHERE t.far IS NOT NULL AND s.next " + (up ? "<= t.far" : ">= t.far"),
                  {*row[4]});
    if (told.rows.empty()) continue;
    const std::string far = told.rows[0][1].value_or("");
    flaws.push_back({"the sequence " + *row[0] + " would give " + told.one() + ", and " + *row[1] + "." +
                         *row[2] + " is at " + far,
                     "SELECT setval(" + sys::quote_literal(*row[4]) + ", " + far + ")"});
  }
  return flaws;
}

Flaws missing_rows(sys::Sql& sql, const Json& rows, bool exact) {
  Flaws flaws;
  const std::string mend = "restore the table again, from another copy of the backup";
  for (const auto& [table, wanted] : rows.items()) {
    const std::uint64_t count = wanted.is_number_unsigned() ? wanted.get<std::uint64_t>() : 0;
    const std::string told = " should have " + sys::show_count(count) + " rows, and ";
    const auto there = sql.query("SELECT to_regclass($1)::text", {table}).rows.at(0)[0];  // as a name for SQL
    if (!there) {
      flaws.push_back({table + told + "is not there", mend});
      continue;
    }
    if (count == 0) continue;
    const std::uint64_t found =
        std::stoull(sql.query(exact ? "SELECT count(*) FROM ONLY " + *there
                                    : "SELECT CASE WHEN EXISTS (SELECT FROM ONLY " + *there + ") THEN " +
                                          std::to_string(count) + " ELSE 0 END")
                        .one());
    if (found < count) flaws.push_back({table + told + "has " + sys::show_count(found), mend});
  }
  return flaws;
}

Pages check_pages(sys::Sql& sql,
                  const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
  Pages pages;
  sql.execute("BEGIN");
  const auto schema = [&] {
    const sys::Rows there = sql.query(
        "SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE "
        "extname "
        "= 'amcheck'");
    return there.rows.empty() ? std::string() : there.one();
  };
  if (schema().empty()) sql.execute("CREATE EXTENSION amcheck SCHEMA public");
  const std::string in = schema() + ".";
  const sys::Rows all = sql.query(
      "SELECT c.oid, c.oid::regclass::text, c.relkind = 'i', coalesce('REINDEX INDEX ' || CASE WHEN "
      "c.relkind = 'i' "
      "THEN c.oid::regclass::text END, 'restore ' || c.oid::regclass || ' from a backup') FROM pg_class c "
      "LEFT JOIN "
      "pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_am a ON a.oid = c.relam WHERE c.relpersistence <> 't' "
      "AND "
      "((c.relkind IN ('r', 'm', 't') AND a.amname = 'heap') OR (c.relkind = 'i' AND a.amname = 'btree' AND "
      "i.indisvalid AND i.indisready)) ORDER BY c.relkind = 'i', 2");
  std::uint64_t done = 0;
  for (const auto& row : all.rows) {
    const bool index = *row[2] == "t";
    progress(done++, all.rows.size());
    ++(index ? pages.indexes : pages.tables);
    sql.execute("SAVEPOINT one");
    try {
      if (index) {
        sql.query("SELECT " + in + "bt_index_check($1::oid::regclass, true)", {*row[0]});
      } else {
        const sys::Rows found =
            sql.query("SELECT 'block ' || blkno || coalesce(', row ' || offnum, '') || ': ' || msg FROM " +
                          in + "verify_heapam($1::oid::regclass, on_error_stop => true) LIMIT 1",
                      {*row[0]});
        if (!found.rows.empty())
          pages.flaws.push_back({"the table " + *row[1] + " is damaged: " + found.one(), *row[3]});
      }
      sql.execute("RELEASE one");
    } catch (const sys::SqlError& error) {
      if (error.kind != ErrorKind::permanent) throw;
      pages.flaws.push_back(
          {std::string(index ? "the index " : "the table ") + *row[1] + " is damaged: " + error.why,
           *row[3]});
      sql.execute("ROLLBACK TO one");
    }
  }
  sql.execute("ROLLBACK");
  return pages;
}

}  // namespace relight::postgres
