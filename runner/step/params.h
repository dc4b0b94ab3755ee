// The parameters of one step: checked against its type's schema, defaults filled in, outputs of
// finished steps put in.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/schema.h"
#include "runner/step/secret.h"
#include "runner/sys/json.h"

namespace relight {

class Params {
 public:
  // `values` has passed check_values; `secrets` holds what may be read in this call and outlives the object.
  Params(const std::vector<Field>& fields, const Json& values, const Secrets& secrets);
  ~Params();
  Params(Params&&) noexcept;

  bool has(const std::string& field) const;    // given, or with a default
  bool known(const std::string& field) const;  // false while it holds an output of a step not yet done

  // The getters below throw a permanent Error for a field that is absent or not known: ask `has` and
  // `known` first. A secret appears in `operator[]` as its reference only.
  const Json& operator[](const std::string& field) const;
  std::string text(
      const std::string& field) const;  // text, path, choice, time, moment; of a location: its path
  std::string text_or(const std::string& field, const std::string& otherwise) const;
  bool flag(const std::string& field) const;
  std::int64_t integer(const std::string& field) const;
  std::chrono::milliseconds duration(const std::string& field) const;
  std::uint64_t size(const std::string& field) const;
  std::vector<std::string> list(const std::string& field) const;  // list, locations (as paths), argv
  std::map<std::string, std::string> texts(const std::string& field) const;

  // apply, check, undo: the bytes. In a preview: refused, use peek_secret.
  const Secret& secret(const std::string& field) const;
  // In a preview: the bytes where the reference may be read to check it (env, file), else nullptr.
  const Secret* peek_secret(const std::string& field) const;
  // An `env` field with its secrets read; `{"NAME": value}`.
  std::map<std::string, std::string> environment(const std::string& field) const;

  const Json& all() const;

 private:
  std::unique_ptr<Json> values_;
  const Secrets* secrets_;
};

}  // namespace relight
