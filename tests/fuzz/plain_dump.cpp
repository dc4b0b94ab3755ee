// A plain SQL dump, line by line.
#include "steps/postgres/lib/plain_dump.h"

#include "tests/fuzz/fuzz.h"

namespace relight {

void fuzz::look(std::string_view bytes) {
  postgres::PlainDump dump;
  while (!bytes.empty()) {
    const std::string_view line = part(bytes, '\n'), given = dump.line(line);
    must(given.empty() || line.find(given) != std::string_view::npos, "psql is given a line of the dump");
  }
  dump.end();
  const postgres::PlainContent& content = dump.content();
  must(content.rows <= content.lines, "a row is a line");
  for (const postgres::PlainFinding& finding : content.findings)
    must(finding.line >= 1 && finding.line <= content.lines, "a finding has its line");
}

}  // namespace relight
