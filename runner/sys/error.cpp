#include "runner/sys/error.h"

#include <cerrno>
#include <cstring>

namespace relight {

Error::Error(ErrorKind kind_, std::string what, std::string on_, std::string why_, std::string hint_)
    : kind(kind_), failed(std::move(what)), on(std::move(on_)), why(std::move(why_)), hint(std::move(hint_)) {
  text_ = failed;
  if (!on.empty()) text_ += ": " + on;
  if (!why.empty()) text_ += ": " + why;
}

const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::transient:
      return "transient";
    case ErrorKind::permanent:
      return "permanent";
    case ErrorKind::refused:
      return "refused";
    case ErrorKind::needs_person:
      return "needs_person";
  }
  return "permanent";
}

ErrorKind error_kind_named(const std::string& name) {
  for (ErrorKind kind : {ErrorKind::transient, ErrorKind::refused, ErrorKind::needs_person})
    if (name == name_of(kind)) return kind;
  return ErrorKind::permanent;
}

Error system_error(int error_number, std::string what, std::string on, std::string hint) {
  bool passing = false;
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      if (hint.empty()) hint = "make room there first";
      break;
    case EAGAIN:
    case EINTR:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ECONNREFUSED:
    case ECONNRESET:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
      passing = true;
      break;
    default:
      break;
  }
  return Error(passing ? ErrorKind::transient : ErrorKind::permanent, std::move(what), std::move(on),
               std::strerror(error_number), std::move(hint));
}

}  // namespace relight
