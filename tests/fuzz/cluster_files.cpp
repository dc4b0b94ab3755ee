// What a cluster and its backup say of themselves: pg_controldata's text, tablespace_map.
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/control.h"
#include "tests/fuzz/fuzz.h"

namespace relight {

void fuzz::look(std::string_view bytes) {
  const std::string text(bytes);
  takes([&] {
    const postgres::Control control = postgres::parse_control(text, "fuzz");
    must(postgres::is_segment_size(control.segment_size), "a segment has a size that can be");
  });
  postgres::Demands demands;
  postgres::raise_demands(demands, text);
  must(demands.max_connections >= 100, "demands are only raised");
  for (const auto& [oid, location] : postgres::parse_tablespace_map(text))
    must(oid.find(' ') == std::string::npos, "an OID is one word");
}

}  // namespace relight
