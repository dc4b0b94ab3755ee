// Rows pulled out of a database, as CSV with a header.
#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

namespace relight {

struct RowsWanted {
  std::string table, where;  // SCHEMA.TABLE, or TABLE where only one schema has it
  std::string sql;           // or a whole query
};

class RowsOut {
 public:
  // Into a file, which is there only when it is whole, 0600; empty: stdout. Throws Error.
  explicit RowsOut(const std::string& file);
  ~RowsOut();
  RowsOut(const RowsOut&) = delete;

  // Returns how many rows. A table that is not there is a refused Error that names near ones. `stop`: as
  // that of sys::Sql.
  std::uint64_t pull(const std::string& url, const RowsWanted& wanted, const std::function<bool()>& stop);

 private:
  const std::string file_, beside_;
  std::FILE* out_;
};

}  // namespace relight
