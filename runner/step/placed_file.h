// One file that a step puts in its place whole: written beside, exchanged with the old one, which is
// kept until it is freed, and exchanged back by an undo.
#pragma once
#include <string>
#include <string_view>

#include "runner/step/access.h"
#include "runner/step/call.h"
#include "runner/step/switch.h"
#include "runner/sys/json.h"

namespace relight {

class PlacedFile {
 public:
  // `path` has been through Call::place. What `access` leaves open is as the file at `path` has it; without
  // one the mode is `new_mode` and the owner ours.
  PlacedFile(Call& call, std::string path, mode_t new_mode);

  // Is the file there with these bytes and this access? A link is never equal.
  bool is(std::string_view bytes, const Access& access) const;

  // Puts it there unless it is(). Makes missing parent folders. Converges. DURABLE
  void put(std::string_view bytes, const Access& access);

  void undo();     // the old file, or none, is back; the folders that put() made are gone
  void discard();  // frees the old file
  Json kept() const;

  // What a put would replace and keep, for a preview; problems where it could not be put.
  void foresee(Preview& preview) const;

  // Kind, bytes, mode and owner; not the time, which a file made anew cannot share.
  std::string state_digest() const;

 private:
  void make(const std::string& at, std::string_view bytes, const Access& access) const;

  Call& call_;
  std::string path_;
  mode_t new_mode_;
};

}  // namespace relight
