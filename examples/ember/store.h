// Notes, secrets and attachments: rows in PostgreSQL, secrets sealed under the master key, attachments' bytes
// in the blob folder. Safe from any thread.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "examples/ember/blobs.h"
#include "examples/ember/config.h"
#include "examples/ember/database.h"

namespace ember {

struct Note {
  std::string id, title, body, created_at;
  bool pinned = false;  // since 1.1.0
};

struct Attachment {
  std::string id, note_id, name, media_type, size, sha256, created_at;
};

// What /readyz answers from: an empty text is well, any other says what is not.
struct Readiness {
  std::string database, key, blobs;
  bool ready() const { return database.empty() && key.empty() && blobs.empty(); }
};

class Store {
 public:
  explicit Store(const Config& config);

  void migrate();
  int schema();
  Readiness readiness();

  Note add_note(const std::string& title, const std::string& body, bool pinned);
  std::vector<Note> notes();
  bool remove_note(const std::string& id);

  void put_secret(const std::string& name, const std::string& text);
  std::vector<std::string> secrets();                          // names
  std::optional<std::string> secret(const std::string& name);  // throws when it does not open
  bool remove_secret(const std::string& name);

  // Nothing: no such note. The bytes are on disk before the row is.
  std::optional<Attachment> attach(const std::string& note_id, const std::string& name,
                                   const std::string& media_type, const std::string& bytes);
  std::vector<Attachment> attachments();
  std::optional<Attachment> attachment(const std::string& id);
  std::string bytes_of(const Attachment& attachment) { return blobs_.get(attachment.sha256); }

  // The token of an attachment's link: the same as long as the media token secret is.
  std::string token(const std::string& id) const;

 private:
  std::string master_key_, media_secret_;
  Pool pool_;
  Blobs blobs_;
};

}  // namespace ember
