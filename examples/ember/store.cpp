#include "examples/ember/store.h"

#include <stdexcept>

#include "examples/ember/crypto.h"
#include "examples/ember/schema.h"
#include "examples/ember/version.h"

namespace ember {
namespace {

const std::string attachment_columns = "id, note_id, name, media_type, size, sha256, created_at";

// Names come from the outside: as an id, only digits that fit a bigint are asked for.
bool is_id(const std::string& text) {
  return !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == text.npos;
}

std::string note_columns() {
  return std::string("id, title, body, created_at, ") + (schema_version() >= 2 ? "pinned" : "false");
}

Note note_of(const Row& row) {
  return {.id = row[0], .title = row[1], .body = row[2], .created_at = row[3], .pinned = row[4] == "t"};
}

Attachment attachment_of(const Row& row) {
  return {.id = row[0],
          .note_id = row[1],
          .name = row[2],
          .media_type = row[3],
          .size = row[4],
          .sha256 = row[5],
          .created_at = row[6]};
}

}  // namespace

Store::Store(const Config& config)
    : master_key_(config.master_key),
      media_secret_(config.media_secret),
      pool_(config.database_url),
      blobs_(config.blob_dir) {}

void Store::migrate() {
  ember::migrate(*pool_.take(), master_key_);
}

int Store::schema() {
  return schema_of(*pool_.take());
}

Readiness Store::readiness() {
  Readiness readiness;
  std::optional<std::string> canary;
  try {
    // Asks for a transaction that may write: a server still in recovery is not ready.
    auto rows =
        pool_.take()->query("select sealed, pg_is_in_recovery() from vault where name = $1", {canary_name});
    if (rows.empty())
      readiness.key = "the canary is not in the vault";
    else if (rows[0][1] == "t")
      readiness.database = "the server is in recovery";
    else if (open_sealed(master_key_, from_bytea(rows[0][0])) != canary_text)
      readiness.key = "the canary does not open: this is not the key that the vault was sealed with";
  } catch (const DatabaseError& error) {
    readiness.database = error.what();
  }
  if (!readiness.database.empty()) readiness.key = "not known without the database";
  try {
    blobs_.probe();
  } catch (const std::runtime_error& error) {
    readiness.blobs = error.what();
  }
  return readiness;
}

Note Store::add_note(const std::string& title, const std::string& body, bool pinned) {
  auto connection = pool_.take();
  if (schema_version() >= 2)
    return note_of(connection->query(
        "insert into notes (title, body, pinned) values ($1, $2, $3) returning " + note_columns(),
        {title, body, pinned ? "t" : "f"})[0]);
  return note_of(connection->query(
      "insert into notes (title, body) values ($1, $2) returning " + note_columns(), {title, body})[0]);
}

std::vector<Note> Store::notes() {
  std::vector<Note> notes;
  for (auto& row : pool_.take()->query("select " + note_columns() + " from notes order by id"))
    notes.push_back(note_of(row));
  return notes;
}

bool Store::remove_note(const std::string& id) {
  return is_id(id) && !pool_.take()->query("delete from notes where id = $1 returning id", {id}).empty();
}

void Store::put_secret(const std::string& name, const std::string& text) {
  pool_.take()->query(
      "insert into vault (name, sealed) values ($1, $2) on conflict (name) do update set sealed = "
      "excluded.sealed",
      {name, bytea(seal(master_key_, text))});
}

std::vector<std::string> Store::secrets() {
  std::vector<std::string> names;
  for (auto& row :
       pool_.take()->query("select name from vault where name <> $1 order by name", {canary_name}))
    names.push_back(row[0]);
  return names;
}

std::optional<std::string> Store::secret(const std::string& name) {
  auto rows = pool_.take()->query("select sealed from vault where name = $1", {name});
  if (rows.empty()) return std::nullopt;
  auto text = open_sealed(master_key_, from_bytea(rows[0][0]));
  if (!text) throw std::runtime_error("the secret " + name + " does not open with this master key");
  return text;
}

bool Store::remove_secret(const std::string& name) {
  return !pool_.take()->query("delete from vault where name = $1 returning name", {name}).empty();
}

std::optional<Attachment> Store::attach(const std::string& note_id, const std::string& name,
                                        const std::string& media_type, const std::string& bytes) {
  if (!is_id(note_id)) return std::nullopt;
  auto connection = pool_.take();
  if (connection->query("select 1 from notes where id = $1", {note_id}).empty()) return std::nullopt;
  std::string sha256 = blobs_.put(bytes);
  return attachment_of(
      connection->query("insert into attachments (note_id, name, media_type, size, sha256) values ($1, $2, "
                        "$3, $4, $5) returning " +
                            attachment_columns,
                        {note_id, name, media_type, std::to_string(bytes.size()), sha256})[0]);
}

std::vector<Attachment> Store::attachments() {
  std::vector<Attachment> attachments;
  for (auto& row : pool_.take()->query("select " + attachment_columns + " from attachments order by id"))
    attachments.push_back(attachment_of(row));
  return attachments;
}

std::optional<Attachment> Store::attachment(const std::string& id) {
  if (!is_id(id)) return std::nullopt;
  auto rows = pool_.take()->query("select " + attachment_columns + " from attachments where id = $1", {id});
  if (rows.empty()) return std::nullopt;
  return attachment_of(rows[0]);
}

std::string Store::token(const std::string& id) const {
  return hmac_sha256_hex(media_secret_, "attachment " + id);
}

}  // namespace ember
