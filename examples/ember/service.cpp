#include "examples/ember/service.h"

#include <httplib.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "examples/ember/crypto.h"
#include "examples/ember/store.h"
#include "examples/ember/version.h"

namespace ember {
namespace {

using Json = nlohmann::json;
using httplib::Request;
using httplib::Response;

constexpr std::size_t largest_upload = 64u << 20;

void say(const std::string& line) {
  std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%FT%TZ", &utc);
  std::fprintf(stderr, "%s ember: %s\n", stamp, line.c_str());
}

void answer(Response& response, int status, const Json& body) {
  response.status = status;
  response.set_content(body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", "application/json");
}

void refuse(Response& response, int status, const std::string& why) {
  answer(response, status, {{"error", why}});
}

bool has_nul(const std::string& text) {
  return text.find('\0') != text.npos;
}

Json json_of(const Note& note) {
  Json json = {{"id", std::stoll(note.id)},
               {"title", note.title},
               {"body", note.body},
               {"created_at", note.created_at}};
  if (schema_version() >= 2) json["pinned"] = note.pinned;
  return json;
}

Json json_of(const Attachment& attachment, const std::string& token) {
  return {{"id", std::stoll(attachment.id)},
          {"note_id", std::stoll(attachment.note_id)},
          {"name", attachment.name},
          {"media_type", attachment.media_type},
          {"size", std::stoll(attachment.size)},
          {"sha256", attachment.sha256},
          {"created_at", attachment.created_at},
          {"link", "/media/" + attachment.id + "?token=" + token}};
}

class Service {
 public:
  explicit Service(const Config& config) : config_(config), store_(config) {}

  int run();

 private:
  void add_probes();
  void add_notes();
  void add_secrets();
  void add_attachments();
  void drain();

  Config config_;
  Store store_;
  httplib::Server server_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> fell_ = false;  // the listening loop ended by itself
};

void Service::add_probes() {
  server_.Get("/readyz", [this](const Request&, Response& response) {
    Readiness now = store_.readiness();
    auto told = [](const std::string& fault) { return fault.empty() ? "ok" : fault; };
    bool ready = now.ready() && !stopping_;
    answer(response, ready ? 200 : 503,
           {{"ready", ready},
            {"stopping", stopping_.load()},
            {"database", told(now.database)},
            {"key", told(now.key)},
            {"blobs", told(now.blobs)}});
  });
  server_.Get("/api/health", [this](const Request&, Response& response) {
    Json health = {{"status", "ok"}, {"version", version()}, {"schema_version", nullptr}};
    try {
      health["schema_version"] = store_.schema();
    } catch (const DatabaseError& error) {
      health["status"] = "the database does not answer";
      say(std::string("/api/health: ") + error.what());
    }
    if (std::string(broken()) == "health") health["status"] = "warming up";
    answer(response, health["status"] == "ok" ? 200 : 503, health);
  });
}

void Service::add_notes() {
  server_.Get("/api/notes", [this](const Request&, Response& response) {
    Json notes = Json::array();
    for (auto& note : store_.notes()) notes.push_back(json_of(note));
    answer(response, 200, notes);
  });
  server_.Post("/api/notes", [this](const Request& request, Response& response) {
    Json body = Json::parse(request.body, nullptr, false);
    if (!body.is_object() || !body.contains("title") || !body["title"].is_string() ||
        !body.contains("body") || !body["body"].is_string() ||
        !body.value("pinned", Json(false)).is_boolean())
      return refuse(response, 400, "a note is {\"title\": text, \"body\": text}");
    std::string title = body["title"], text = body["body"];
    if (has_nul(title) || has_nul(text)) return refuse(response, 400, "a note cannot hold a zero byte");
    answer(response, 201, json_of(store_.add_note(title, text, body.value("pinned", false))));
  });
  server_.Delete(R"(/api/notes/(\d+))", [this](const Request& request, Response& response) {
    if (!store_.remove_note(request.matches[1])) return refuse(response, 404, "there is no such note");
    response.status = 204;
  });
}

void Service::add_secrets() {
  const char* one = R"(/api/secrets/([A-Za-z0-9_][A-Za-z0-9_.-]{0,99}))";
  server_.Get("/api/secrets",
              [this](const Request&, Response& response) { answer(response, 200, store_.secrets()); });
  server_.Get(one, [this](const Request& request, Response& response) {
    auto text = store_.secret(request.matches[1]);
    if (!text) return refuse(response, 404, "there is no such secret");
    response.set_header("Cache-Control", "no-store");
    response.set_content(*text, "application/octet-stream");
  });
  server_.Put(one, [this](const Request& request, Response& response) {
    store_.put_secret(request.matches[1], request.body);
    response.status = 204;
  });
  server_.Delete(one, [this](const Request& request, Response& response) {
    if (!store_.remove_secret(request.matches[1])) return refuse(response, 404, "there is no such secret");
    response.status = 204;
  });
}

void Service::add_attachments() {
  server_.Get("/api/attachments", [this](const Request&, Response& response) {
    Json attachments = Json::array();
    for (auto& one : store_.attachments()) attachments.push_back(json_of(one, store_.token(one.id)));
    answer(response, 200, attachments);
  });
  server_.Post(R"(/api/notes/(\d+)/attachments)", [this](const Request& request, Response& response) {
    std::string name = request.get_param_value("name");
    if (name.empty() || has_nul(name))
      return refuse(response, 400, "the attachment's name is missing: ?name=NAME");
    std::string type = request.get_header_value("Content-Type");
    auto added = store_.attach(request.matches[1], name, type.empty() ? "application/octet-stream" : type,
                               request.body);
    if (!added) return refuse(response, 404, "there is no such note");
    answer(response, 201, json_of(*added, store_.token(added->id)));
  });
  server_.Get(R"(/media/(\d+))", [this](const Request& request, Response& response) {
    std::string id = request.matches[1];
    if (!equal_in_constant_time(request.get_param_value("token"), store_.token(id)))
      return refuse(response, 403, "the link's token is not valid");
    auto attachment = store_.attachment(id);
    if (!attachment) return refuse(response, 404, "there is no such attachment");
    response.set_content(store_.bytes_of(*attachment), attachment->media_type);
  });
}

void Service::drain() {
  stopping_ = true;
  say("stopping: /readyz says 503 for " + std::to_string(config_.drain.count()) + " ms");
  std::this_thread::sleep_for(config_.drain);
  // A stop before the loop runs would be lost, and the loop would run for ever.
  while (!server_.is_running() && !fell_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server_.stop();
}

int Service::run() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  store_.migrate();
  add_probes();
  add_notes();
  add_secrets();
  add_attachments();
  server_.set_payload_max_length(largest_upload);
  server_.set_keep_alive_timeout(1);  // an idle connection holds the end up no longer than this
  // The library would set SO_REUSEPORT, and a second Ember would share the port with the first in silence.
  server_.set_socket_options([](socket_t socket) {
    int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server_.set_exception_handler([](const Request& request, Response& response, std::exception_ptr thrown) {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      say(request.method + " " + request.path + ": " + error.what());
      refuse(response, 500, error.what());
    }
  });
  if (!server_.bind_to_port(config_.host, config_.port)) {
    say("cannot listen on " + config_.host + ":" + std::to_string(config_.port) + ": is the port taken?");
    return 1;
  }

  std::thread serving([this] {
    server_.listen_after_bind();
    if (!stopping_) {
      fell_ = true;
      ::kill(::getpid(), SIGTERM);
    }
  });
  say(std::string(version()) + " listens on " + config_.host + ":" + std::to_string(config_.port));
  if (std::string(broken()) == "exits") {
    std::this_thread::sleep_for(std::chrono::seconds(3));
    say("out of luck");
    std::_Exit(1);
  }
  int signal = 0;
  sigwait(&ending, &signal);
  drain();
  serving.join();  // the requests at work are finished by now
  say(fell_ ? "the listening socket failed" : "stopped");
  return fell_ ? 1 : 0;
}

}  // namespace

int serve(const Config& config) {
  return Service(config).run();
}

}  // namespace ember
