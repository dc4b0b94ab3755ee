// What pgBackRest and Barman keep of one server, made once in a program by the real tools, and what a
// recovery from it comes to.
#pragma once
#include <string>
#include <vector>

#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "tests/support/recovery.h"

namespace relight {

// In memory, and postgres's.
struct PostgresFolder : sys::TempFolder {
  PostgresFolder();
};

// Row 1, a backup by each tool, row 2, row 3, a backup by each tool, rows 4 and 5. The second repository of
// pgBackRest is encrypted, and has only the second backup. There is a tablespace.
struct Repos {
  PostgresFolder folder;
  Postgres server;
  std::string second;  // a moment
  std::vector<std::string> labels;

  Repos();
  std::string path(const std::string& name) const { return folder.path() + "/" + name; }
  // The parameters of postgres.recover.
  Json wanted(const Json& repository, const std::string& to, const Json& more = Json::object()) const;
  Json of_backrest(const Json& more = Json::object()) const;
  Json of_barman(const Json& more = Json::object()) const;

 private:
  std::string backrest(const std::string& arguments) const;
  void barman(const std::string& arguments) const;
  void back_up(const std::string& repo) const;
  void insert(int number) const;
};
const Repos& repos();

// All that the plan tells.
std::string told(const Json& params, bool full = false);
void holds(const std::string& text, const std::string& part);

struct Recovered {
  std::string rows, in_tablespace, link;
};
Recovered recovered(const Json& params);

}  // namespace relight
