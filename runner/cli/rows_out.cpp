#include "runner/cli/rows_out.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "runner/step/schema.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/sql.h"
#include "runner/sys/text.h"

namespace relight {

namespace {

constexpr std::size_t most_named = 12;

struct Table {
  std::string schema, name;
  std::string text() const { return schema + "." + name; }
};

Error no_such(const std::string& wanted, const std::vector<Table>& there) {
  std::vector<std::string> names, same;
  for (const Table& table : there) {
    names.push_back(table.text());
    if (table.name == wanted) same.push_back(table.text());
  }
  if (same.size() > 1)
    return Error(ErrorKind::refused, "cannot tell the table", wanted, "there are " + sys::join(same, " and "),
                 "write its schema, too");
  std::string near = near_name(wanted, names);
  for (const Table& table : there)  // another schema, or none
    if (near.empty() && !near_name(wanted.substr(wanted.rfind('.') + 1), {table.name}).empty())
      near = table.text();
  for (const Table& table : there)
    if (near.empty() && table.name == wanted.substr(wanted.rfind('.') + 1)) near = table.text();
  const bool more = names.size() > most_named;
  if (more) names.resize(most_named);
  const std::string all = names.empty() ? "it holds no table at that moment"
                                        : "it has " + sys::join(names, ", ") + (more ? ", and more" : "");
  return Error(ErrorKind::refused, "there is no such table", wanted, all,
               near.empty() ? "" : "did you mean `" + near + "`?");
}

Table find_table(sys::Sql& sql, const std::string& wanted) {
  std::vector<Table> there, fit;
  for (const auto& row :
       sql.query("select table_schema, table_name from information_schema.tables"
                 " where table_schema not in ('information_schema', 'pg_catalog') order by 1, 2")
           .rows)
    there.push_back({row[0].value_or(""), row[1].value_or("")});
  for (const Table& table : there)
    if (table.text() == wanted) return table;
  for (const Table& table : there)
    if (table.name == wanted) fit.push_back(table);
  if (fit.size() != 1) throw no_such(wanted, there);
  return fit[0];
}

// A line's comment at its end must not swallow what follows.
std::string query_of(sys::Sql& sql, const RowsWanted& wanted) {
  if (!wanted.sql.empty()) {
    std::string query = sys::trim(wanted.sql);
    while (!query.empty() && query.back() == ';') query = sys::trim(query.substr(0, query.size() - 1));
    return query;
  }
  const Table table = find_table(sql, wanted.table);
  std::string query =
      "select * from " + sys::quote_identifier(table.schema) + "." + sys::quote_identifier(table.name);
  if (!wanted.where.empty()) query += " where (" + wanted.where + "\n)";
  return query;
}

std::FILE* opened(const std::string& path) {
  if (path.empty()) return stdout;
  unlink(path.c_str());
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    throw system_error(errno, "cannot write the rows", path, "--out names a file in a folder that is there");
  return fdopen(fd, "w");
}

}  // namespace

RowsOut::RowsOut(const std::string& file)
    : file_(file.empty() ? "" : sys::absolute(file)),
      beside_(file.empty() ? "" : sys::parent_of(file_) + "/." + sys::name_of_path(file_) + ".tmp"),
      out_(opened(beside_)) {
  if (!file_.empty() && sys::is_folder(file_)) {
    unlink(beside_.c_str());
    throw Error(ErrorKind::refused, "cannot write the rows", file_, "it is a folder",
                "name a file with --out");
  }
}

RowsOut::~RowsOut() {
  if (file_.empty() || out_ == nullptr) return;
  std::fclose(out_);
  unlink(beside_.c_str());
}

std::uint64_t RowsOut::pull(const std::string& url, const RowsWanted& wanted,
                            const std::function<bool()>& stop) {
  const std::string what = "cannot write the rows", on = file_.empty() ? "standard output" : file_;
  sys::Sql sql(url);
  sql.stop_when(stop);
  const std::uint64_t count = sql.copy_out(
      "copy (" + query_of(sql, wanted) + "\n) to stdout (format csv, header)", [&](std::string_view bytes) {
        if (std::fwrite(bytes.data(), 1, bytes.size(), out_) != bytes.size())
          throw system_error(errno, what, on);
      });
  if (std::fflush(out_) != 0) throw system_error(errno, what, on);
  if (file_.empty()) return count;
  if (fsync(fileno(out_)) != 0) throw system_error(errno, what, on);
  sys::rename_durably(beside_, file_);
  std::fclose(out_);
  out_ = nullptr;
  return count;
}

}  // namespace relight
