#include "examples/ember/version.h"

namespace ember {

const char* version() {
  return EMBER_VERSION;
}
int schema_version() {
  return EMBER_SCHEMA_VERSION;
}

const char* broken() {
  return EMBER_BROKEN;
}

}  // namespace ember
