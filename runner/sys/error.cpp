#include "runner/sys/error.h"

#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

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

namespace {

constexpr const char* more_files = "allow more open files (ulimit -n, or LimitNOFILE of its unit)";
constexpr const char* more_memory = "give it more memory (ulimit -v, or the limit of its unit or container)";

}  // namespace

Error unforeseen(const std::exception& error, std::string what, std::string on) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return Error(ErrorKind::transient, std::move(what), std::move(on), "out of memory", more_memory);
  if (const auto* of_system = dynamic_cast<const std::system_error*>(&error))
    return system_error(of_system->code().value(), std::move(what), std::move(on),
                        of_system->code() == std::errc::resource_unavailable_try_again
                            ? "see its limits of processes and memory (ulimit -u, ulimit -v, or those of its "
                              "unit or container)"
                            : "");
  return Error(ErrorKind::permanent, std::move(what), std::move(on), error.what(),
               "this is a fault of relight: please report it");
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
      passing = true;
      if (hint.empty()) hint = more_files;
      break;
    case ENOMEM:
      passing = true;
      if (hint.empty()) hint = more_memory;
      break;
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
