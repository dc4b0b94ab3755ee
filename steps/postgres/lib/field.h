// A declared field in one line, for types with many of them.
#pragma once
#include <string>
#include <utility>

#include "runner/step/schema.h"

namespace relight::postgres {

inline Field field(std::string name, FieldType type, bool required, std::string fallback, std::string doc,
                   std::string example) {
  return {.name = std::move(name),
          .type = type,
          .required = required,
          .fallback = std::move(fallback),
          .doc = std::move(doc),
          .example = std::move(example),
          .choices = {}};
}

}  // namespace relight::postgres
