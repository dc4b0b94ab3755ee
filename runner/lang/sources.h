// The files of one runbook: itself and the modules that it requires, each read once, so that what was
// evaluated is what is frozen in the run's folder.
#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace relight::lang {

struct SourceFile {
  std::string name;  // relative: "rebuild.lua", "net/dns.lua"; a module of the library has its name, too
  std::string bytes;
};

class Sources {
 public:
  // `library`: the folder of the modules that ship; empty: none is looked at.
  Sources(const std::string& runbook_path, std::string library, std::size_t size_limit);

  // Those of a frozen folder, whole.
  Sources(std::string runbook_name, const std::vector<SourceFile>& files);

  const SourceFile& runbook();
  // The file of `require "NAME"`: NAME.lua with dots as folders, beside the runbook, else in the library.
  // Throws Error.
  const SourceFile& module(const std::string& name);

  const std::string& runbook_name() const { return runbook_name_; }
  std::string hash_of(const std::string& file) const;  // of a file that was read
  std::vector<SourceFile> all() const;                 // in the order of their names

 private:
  const SourceFile& read(const std::string& path, const std::string& name, const char* kind);

  std::string folder_, runbook_name_, library_;
  std::size_t size_limit_ = 0;
  bool whole_ = false;
  std::map<std::string, SourceFile> files_;
  mutable std::map<std::string, std::string> hashes_;
};

// Where the modules that ship lie: runbooks/lib of the tree that the program was built in, or
// share/relight/runbooks/lib beside the program's bin; empty: nowhere.
std::string library_folder();

}  // namespace relight::lang
