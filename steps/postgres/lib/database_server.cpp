#include "steps/postgres/lib/database_server.h"

#include <libpq-fe.h>

#include <chrono>
#include <memory>

#include "runner/step/in_image.h"
#include "runner/step/via.h"
#include "runner/sys/digest.h"
#include "runner/sys/text.h"
#include "runner/sys/wait.h"

namespace relight::postgres {
namespace {

using namespace std::chrono_literals;

constexpr const char* no_limits =
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET synchronous_commit = on; SET default_transaction_read_only = off; SET client_min_messages = error; "
    "SET search_path = pg_catalog; "
    "SELECT set_config('transaction_timeout', '0', false) WHERE "
    "current_setting('server_version_num')::int >= 170000";

std::string percent(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '~')
      out += c;
    else
      out += "%" + sys::to_hex(std::string_view(&c, 1));
  }
  return out;
}

struct Word {
  std::string name, value, variable;
};

// What a connection text of libpq gives, and libpq's variable for each.
std::vector<Word> words_of(const std::string& text) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(text.c_str(), &message), &PQconninfoFree);
  PQfreemem(message);  // it quotes from the text, in which a password may stand
  if (!options)
    throw Error(ErrorKind::refused, "cannot read the field server", "libpq", "it is no connection text",
                "write postgresql://USER@HOST:PORT, or host=/run/postgresql port=5432 user=postgres");
  std::vector<Word> words;
  for (const PQconninfoOption* one = options.get(); one->keyword != nullptr; ++one)
    if (one->val != nullptr && *one->val != '\0')
      words.push_back({one->keyword, one->val, one->envvar == nullptr ? "" : one->envvar});
  return words;
}

}  // namespace

std::string shortened(const std::string& text, std::size_t limit) {
  if (text.size() <= limit) return text;
  constexpr std::size_t hash = 12;
  return text.substr(0, limit - hash - 1) + "_" + sys::sha256_hex(text).substr(0, hash);
}

namespace {
std::string session_of(const Call& call) {
  return shortened("relight/" + call.run() + "/" + call.step());
}
}  // namespace

DatabaseServer::DatabaseServer(const Params& params, Call& call, bool in_via)
    : database_(params.text_or("database", "postgres")),
      administration_("postgres"),
      session_(session_of(call)) {
  for (const Word& word : words_of(params.text_or("server", ""))) {
    if (word.name == "password")
      throw Error(ErrorKind::refused, "a password in plain text", "server",
                  "what is written here is kept in the plan and the journal",
                  "take it out, and write password = secret.file \"/path\"");
    if (word.name == "dbname") {
      if (word.value != database_) administration_ = word.value;
    } else if (word.name != "application_name" && word.name != "fallback_application_name") {
      words_[word.name] = word.value;
      if (!word.variable.empty()) variables_[word.variable] = word.value;
    }
  }
  if (in_via) reach_container(params, call);
  if (!params.has("password")) return;
  const Secret* const password =
      call.previewing() ? params.peek_secret("password") : &params.secret("password");
  if (password != nullptr) password_ = sys::trim(password->view());
}

DatabaseServer::DatabaseServer(std::map<std::string, std::string> words, std::string database,
                               const Call& call, std::string image)
    : words_(std::move(words)),
      database_(std::move(database)),
      administration_("postgres"),
      session_(session_of(call)),
      image_(std::move(image)) {
  for (const auto& [word, variable] : {std::pair("host", "PGHOST"), {"port", "PGPORT"}, {"user", "PGUSER"}})
    if (const auto found = words_.find(word); found != words_.end()) variables_[variable] = found->second;
}

std::string address_of(const sys::Container& container) {
  return container.addresses.empty() ? "127.0.0.1" : container.addresses[0];
}

// The address changes with every start of the container: it is asked for in every call.
void DatabaseServer::reach_container(const Params& params, Call& call) {
  const auto via = via_of(params, call);
  if (!via) return;
  if (words_.contains("host") || words_.contains("hostaddr"))
    throw Error(ErrorKind::refused, "cannot tell which server is meant", via->text(),
                "`server` names a host, and `via` a container", "leave the host out of `server`");
  try {
    const sys::Container container = container_of(*via, call);
    image_ = container.image_id;
    words_["host"] = address_of(container);
    variables_["PGHOST"] = words_["host"];
  } catch (const Error& error) {
    unreachable_ = Error(ErrorKind::transient, error.failed, error.on, error.why, error.hint);
    // One that is stopped has an image, too.
    if (const auto all = compose_of(*via, call).containers(via->service); all.size() == 1)
      image_ = all[0].image_id;
  }
}

Field server_via_field() {
  Field field = via_field(
      "the container that the server runs in; `server` then gives the user and, where it is not "
      "5432, the port within it. PostgreSQL's programs are those of its image, each in a container of its "
      "own "
      "in this host's network");
  return field;
}

Field server_field() {
  return {.name = "server",
          .type = FieldType::text,
          .required = false,
          .fallback = "",
          .doc =
              "where the server is, as libpq takes it, without a password; when not given, by the local "
              "socket, as the step's user (`as`)",
          .example = "\"postgresql://postgres@127.0.0.1:5432\"",
          .choices = {}};
}

Field password_field() {
  return {.name = "password",
          .type = FieldType::secret,
          .required = false,
          .fallback = "",
          .doc = "the password for the server",
          .example = "secret.file \"/root/pg-password\"",
          .choices = {}};
}

namespace {
bool is_this_host(const std::string& host) {
  return host.empty() || host.front() == '/' || host == "localhost" || host == "127.0.0.1" || host == "::1";
}
}  // namespace

bool DatabaseServer::by_address_of_this_host() const {
  const auto host = words_.find(words_.contains("hostaddr") ? "hostaddr" : "host");
  return is_this_host(host == words_.end() ? "" : host->second);
}

std::string database_target(const Params& params) {
  std::string host, port = "5432";
  for (const Word& word : words_of(params.text_or("server", ""))) {
    if (word.name == "host" || (word.name == "hostaddr" && host.empty())) host = word.value;
    if (word.name == "port") port = word.value;
  }
  const bool here = is_this_host(host);
  if (const auto via = via_target(params); !via.empty())
    return via[0] + ":" + port + "/" + params.text("database");
  return (here ? "" : host + ":") + port + "/" + params.text("database");
}

std::string DatabaseServer::url(const std::string& database) const {
  std::string authority, query;
  for (const auto& [word, value] : words_) {
    const bool by_socket = word == "host" && value.front() == '/';
    if (word == "user")
      authority = percent(value) + "@" + authority;
    else if (word == "host" && !by_socket)
      authority += value.find(':') == std::string::npos ? percent(value) : "[" + value + "]";
    else if (word != "port" || authority.empty() || authority.back() == '@')
      query += (query.empty() ? "?" : "&") + word + "=" + percent(value);
    else
      authority += ":" + value;
  }
  return "postgresql://" + authority + "/" + percent(database) + query;
}

sys::Sql DatabaseServer::connect(const Call& call, const std::string& database) const {
  if (unreachable_) throw Error(*unreachable_);
  std::map<std::string, std::string> settings = words_;
  settings["dbname"] = database.empty() ? administration_ : database;
  settings["application_name"] = session_;
  if (!password_.empty()) settings["password"] = password_;
  sys::Sql sql("", settings);
  sql.execute(no_limits);
  sql.stop_when([&call] { return call.stop_wanted(); });
  return sql;
}

std::optional<sys::Sql> DatabaseServer::foresee(const Call& call, Preview& preview,
                                                const std::string& until) const {
  try {
    return connect(call);
  } catch (const Error& error) {
    if (error.kind != ErrorKind::transient) throw;
    preview.verdict = Preview::Verdict::cannot_yet_tell;
    preview.hints.push_back("the server does not answer yet (" + error.why + ")" + until);
    return std::nullopt;
  }
}

std::string DatabaseServer::primary_conninfo(const std::string& name) const {
  std::map<std::string, std::string> words = words_;
  words["application_name"] = name;
  if (!password_.empty()) words["password"] = password_;
  std::string text;
  for (const auto& [word, value] : words) {
    text += (text.empty() ? "" : " ") + word + "='";
    for (const char c : value) {
      if (c == '\'' || c == '\\') text += '\\';
      text += c;
    }
    text += "'";
  }
  return text;
}

std::map<std::string, std::string> DatabaseServer::environment() const {
  std::map<std::string, std::string> variables = variables_;
  variables["PGAPPNAME"] = session_;
  variables["PGCONNECT_TIMEOUT"] = "10";
  // What is restored is made durable by the commit that says it is whole.
  std::string& options = variables["PGOPTIONS"];
  if (!options.empty()) options += " ";
  options +=
      "-c synchronous_commit=off -c statement_timeout=0 -c lock_timeout=0 -c "
      "default_transaction_read_only=off";
  if (!password_.empty()) variables["PGPASSWORD"] = password_;
  return variables;
}

ClientProgram DatabaseServer::program(const std::string& name, int major, const Call& call) const {
  return in_container() ? ClientProgram::of_image(name, image_, call) : ClientProgram::of_host(name, major);
}

void end_left_at_server(const Params& params, Call& call) {
  if (params.has("via")) end_in_image(call);
  const DatabaseServer server(params, call);
  sys::Sql sql = server.connect(call);
  end_sessions_named(sql, server.session());
}

void end_sessions_named(sys::Sql& sql, const std::string& session) {
  const std::string others = " FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()";
  std::string left;
  const bool gone = sys::wait_until(30s, 100ms, {}, [&] {
    sql.query("SELECT pg_terminate_backend(pid)" + others, {session});
    left = sql.query("SELECT coalesce(string_agg(pid::text, ', '), '')" + others, {session}).one();
    return left.empty();
  });
  if (!gone)
    throw Error(ErrorKind::needs_person, "sessions of an earlier attempt do not end", session,
                "their processes on the server: " + left,
                "see why they hang (a full disk, a dead mount), then resume");
}

}  // namespace relight::postgres
