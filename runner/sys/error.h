// The error that every room throws and every exit prints.
#pragma once
#include <exception>
#include <string>

namespace relight {

enum class ErrorKind {
  transient,     // may pass by itself: the only kind that is retried
  permanent,     // the same again would fail again
  refused,       // bad input, found before any effect: the target is as it was
  needs_person,  // only a person can say what is right
};

// What failed, on what, why, and what to do next, each a phrase in lower case without a full stop.
struct Error : std::exception {
  Error(ErrorKind kind, std::string what, std::string on, std::string why, std::string hint = "");

  const char* what() const noexcept override { return text_.c_str(); }  // "WHAT: ON: WHY"

  ErrorKind kind;
  std::string failed;  // what was being done: "cannot unpack"
  std::string on;      // the thing: a path, a step, a URL
  std::string why;     // the cause, as the system or the server told it
  std::string hint;    // what to do next; empty where nothing useful can be said

 private:
  std::string text_;
};

const char* name_of(ErrorKind kind);
ErrorKind error_kind_named(const std::string& name);  // an unknown name is `permanent`

// The error of a failed system call: `why` is errno's text; EAGAIN, EINTR, EMFILE, ENFILE, ENOMEM and the
// network's passing faults are transient, all else is permanent: a full disk, too, which no retry mends.
Error system_error(int error_number, std::string what, std::string on, std::string hint = "");

// What a library threw that is no Error: a want of memory or of threads is the host's, all else our fault.
Error unforeseen(const std::exception& error, std::string what, std::string on);

}  // namespace relight
