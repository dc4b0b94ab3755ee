// What only the text of a runbook can tell: Lua traps neither `==` between a text and a value not yet known
// nor a truth test of one, keeps the last of two fields of one name, and forgets a nil in a list.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runner/lang/fault.h"
#include "runner/lang/sources.h"

namespace relight::lang {

struct Scan {
  std::vector<RunbookFault> faults;

  // `o.STEP.OUTPUT` in a `when = function(o)`: checked against the steps once they are known.
  struct WhenUse {
    int function_line;
    int line;
    std::string step, output;  // output may be empty
  };
  std::vector<WhenUse> when_uses;

  // Where `field` stands in the table of the statement that begins at `statement`.
  int line_of(int statement, const std::string& field) const;

  struct FieldLine {
    int statement, line;
    std::string name;
  };
  std::vector<FieldLine> field_lines;  // of those that stand on a later line than their statement
};

using Scans = std::map<std::string, Scan>;  // by file

// `families`: "host", "postgres", ... The source has been compiled: it is Lua.
Scan scan(const SourceFile& source, const std::set<std::string>& families);

}  // namespace relight::lang
