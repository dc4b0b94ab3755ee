#include "steps/postgres/lib/plain_dump.h"

#include <doctest/doctest.h>

#include "runner/sys/files.h"
#include "runner/sys/text.h"

using namespace relight;
using namespace relight::postgres;

namespace {

PlainContent read(const std::string& text, std::string* fed = nullptr) {
  PlainDump dump;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    const std::string out(dump.line(rest.substr(0, end)));
    if (fed) *fed += out + "\n";
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  dump.end();
  return dump.content();
}

std::string found(const std::string& text) {
  std::string all;
  for (const PlainFinding& finding : read(text).findings)
    all += (all.empty() ? "" : " | ") + std::to_string(finding.line) + ": " + finding.what;
  return all;
}

}  // namespace

TEST_CASE("what a plain dump holds and needs is read out of it") {
  const PlainContent content = read(R"(--
-- PostgreSQL database dump
--
\restrict abc
-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET default_tablespace = fast;
CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;
CREATE TABLE public.notes (id bigint, body text DEFAULT 'a;b''c'::text);
ALTER TABLE public.notes OWNER TO ember;
CREATE UNLOGGED TABLE IF NOT EXISTS "Odd Schema"."T" (a int);
COPY public.notes (id, body) FROM stdin;
1	\! not a command
2	it's \N
\.
GRANT SELECT,INSERT ON TABLE public.notes TO reader, "Other", PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE boss IN SCHEMA public GRANT ALL ON TABLES TO staff;
CREATE POLICY p ON public.notes FOR SELECT TO watcher USING (true);
CREATE USER MAPPING FOR mapped SERVER s OPTIONS (password 'x');
SET SESSION AUTHORIZATION 'old one';
-- PostgreSQL database dump complete
--
\unrestrict abc
)");
  CHECK(content.findings.empty());
  CHECK(content.by_pg_dump);
  CHECK(content.whole);
  CHECK(content.from_version == "15.20");
  CHECK(content.encoding == "UTF8");
  CHECK(content.rows == 2);
  CHECK(content.tables == std::set<std::string>{"public.notes", "Odd Schema.T"});
  CHECK(content.extensions == std::set<std::string>{"pgcrypto"});
  CHECK(content.tablespaces == std::set<std::string>{"fast"});
  CHECK(content.roles ==
        std::set<std::string>{"Other", "boss", "ember", "mapped", "old one", "reader", "staff", "watcher"});
}

TEST_CASE("what leads out of the database is found with its line") {
  CHECK(found("SELECT 1;\n\\connect live\n") == "2: \\connect live: leads to another database");
  CHECK(found("\\c live") == "1: \\c live: leads to another database");
  CHECK(found("\\! rm -rf /\n") == "1: \\! rm -rf /: starts a program");
  CHECK(found("SELECT 1 \\! id\n;") == "1: \\! id: starts a program");
  CHECK(found("\\i /etc/passwd\n") == "1: \\i /etc/passwd: reads another file");
  CHECK(found("\\copy t from program 'id'\n") == "1: \\copy t from program 'id': starts a program");
  CHECK(found("\\set x 1\n") == "1: \\set: a command of psql, not of a dump");
  CHECK(found("SELECT 1; \\restrict x\n") == "1: \\restrict: a command of psql, not of a dump");
  CHECK(found("\n\nCREATE DATABASE live;\n") == "3: CREATE DATABASE: changes a database of the server");
  CHECK(found("drop\n  database live;\n") == "1: DROP DATABASE: changes a database of the server");
  CHECK(found("ALTER /* x */ DATABASE live OWNER TO a;") ==
        "1: ALTER DATABASE: changes a database of the server");
  CHECK(found("COMMENT ON DATABASE live IS 'x';") ==
        "1: COMMENT ON DATABASE: changes a database of the server");
  CHECK(found("GRANT ALL ON DATABASE live TO x;") ==
        "1: GRANT ON DATABASE: changes a database of the server");
  CHECK(found("CREATE ROLE x;") == "1: CREATE ROLE: changes the roles of the whole server");
  CHECK(found("ALTER USER x SUPERUSER;") == "1: ALTER USER: changes the roles of the whole server");
  CHECK(found("GRANT a TO b;") == "1: GRANT of a role: changes the roles of the whole server");
  CHECK(found("ALTER SYSTEM SET fsync = off;") == "1: ALTER SYSTEM: changes the whole server");
  CHECK(found("COPY t FROM PROGRAM 'id';") == "1: COPY PROGRAM: starts a program on the server");
  CHECK(found("COPY (SELECT 1) TO '/etc/cron.d/x';") == "1: COPY: reads or writes a file of the server");
  CHECK(found("SET standard_conforming_strings = off;") ==
        "1: SET standard_conforming_strings: backslashes in texts would mean something else");
  CHECK(found("-- PostgreSQL database cluster dump\n") == "1: a dump of a whole cluster, by pg_dumpall");
  CHECK(found(std::string("a\0b;", 4)) == "1: a NUL byte");
}

TEST_CASE("quotes, comments and bodies hide what they hold, and nothing else") {
  CHECK(found("SELECT '\\! id';\nSELECT \"\\! id\", 'it''s \\c', '\n\\! id\n';") == "");
  CHECK(found("/* \\! a /* nested */ \\! b */ -- \\! c\n") == "");
  CHECK(found("DO $$ \\! id\n$x$ $$;\nSELECT $a$ $$ \\! $a$;") == "");
  CHECK(found("SELECT E'\\'\\! id', e'\\\\';") == "");
  CHECK(found("SELECT E'\\\\' \\! id") == "1: \\! id: starts a program | 1: a statement has no end");
  CHECK(found("SELECT e'\\'\\! id';") == "");
  CHECK(found("SELECT 'a\\' \\! id\n;") == "1: \\! id: starts a program");
  CHECK(found("SELECT a$$ \\! id\n;") == "1: \\! id: starts a program");  // a$$ is a name
  CHECK(found("SELECT name'x\\' \\! id\n;") == "1: \\! id: starts a program");
  CHECK(found("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; "
              "END;\nDROP DATABASE x;") == "2: DROP DATABASE: changes a database of the server");
  CHECK(found("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; DROP DATABASE x);") == "");
  CHECK(found("COPY t FROM stdin;\n\\! id\n\\.\n\\! id\n") == "4: \\! id: starts a program");
  CHECK(found("INSERT INTO t VALUES (1, 'DROP DATABASE x;'), (2, '\\');\n") == "");
}

TEST_CASE("a dump that is cut off is told") {
  CHECK(found("-- PostgreSQL database dump\nSELECT 1;\n") == "2: pg_dump's last line is missing");
  CHECK(found("SELECT 1;\nCOPY t FROM stdin;\n1\n2\n") == "2: the rows of a COPY has no end");
  CHECK(found("SELECT 1;\nCREATE TABLE t (\n a int,") == "2: a statement has no end");
  CHECK(found("SELECT 'abc\n\n") == "1: a quoted text has no end");
  CHECK(found("DO $x$ abc\n") == "1: a text quoted with $x$ has no end");
}

TEST_CASE("psql is fed the dump's own lines: CR LF mended, restrictions taken out, numbers kept") {
  std::string fed;
  read("\xEF\xBB\xBF-- head\r\n\\restrict k\r\nSELECT 'a\r\nb\r\r\n';\r\n\\unrestrict k\r\n", &fed);
  CHECK(fed == "-- head\n\nSELECT 'a\nb\r\n';\n\n");
  fed.clear();
  read("-- head\nSELECT 'a\r\nb';\n", &fed);
  CHECK(fed == "-- head\nSELECT 'a\r\nb';\n");
}

TEST_CASE("a file is read in pieces, lines longer than one among them") {
  const sys::TempFolder folder;
  const std::string path = folder.path() + "/dump.sql";
  std::string text = "-- PostgreSQL database dump\nCOPY t FROM stdin;\n" + std::string(3u << 20, 'x') + "\n";
  for (int i = 0; i < 100000; ++i) text += std::to_string(i) + "\trow\n";
  text += "\\.\n-- PostgreSQL database dump complete";
  sys::write_file(path, text, 0600);
  std::string fed;
  std::uint64_t bytes = 0;
  const PlainContent content = read_plain_dump(
      path, [&](std::string_view line) { fed += line; }, [&](std::uint64_t done) { bytes = done; });
  CHECK(content.rows == 100001);
  CHECK(content.findings.empty());
  CHECK(fed == text + "\n");
  CHECK(bytes == text.size());
}
