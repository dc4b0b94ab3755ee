// probe.tcp: somebody takes connections on a port.
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/probe/lib/owner.h"
#include "steps/probe/lib/patience.h"

namespace relight {
namespace {

// Why no connection could be made; empty: one was.
std::string try_to_connect(const std::string& host, int port, int within_ms = 5000) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  if (int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found); error != 0)
    return std::string("cannot look up ") + host + ": " + gai_strerror(error);
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> holder(found, freeaddrinfo);
  std::string why;
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) {
    sys::Fd socket(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) continue;
    int error = connect(socket.get(), one->ai_addr, one->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      pollfd watched{socket.get(), POLLOUT, 0};
      error = ETIMEDOUT;
      socklen_t size = sizeof error;
      if (poll(&watched, 1, within_ms) == 1) getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == 0) return "";
    why = std::strerror(error);
  }
  return why;
}

class Tcp : public Step {
 public:
  Preview preview(const Params& params, Call&) const override {
    Preview preview;
    preview.summary = "connect to " + shown(params.all()["host"]) + " port " + shown(params.all()["port"]);
    for (const char* field : {"host", "port", "service"})
      if (!params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
      }
    try {
      preview.summary += show(patience_of(params));
      if (params.known("port")) port_of(params);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Endpoint endpoint{params.text("host"), call.port(port_of(params))};
    const auto service = service_of_probe(params);
    const auto took =
        ask_until_passed(call, patience_of(params), endpoint.host + " port " + std::to_string(endpoint.port),
                         "see who should listen there, and its log", [&] {
                           std::string why = try_to_connect(endpoint.host, endpoint.port);
                           return why.empty() && service ? not_reaching(*service, endpoint) : why;
                         });
    return {{"took", sys::show_duration(took)}};
  }

  std::string look(const Params& params, Call& call) const override {
    return try_to_connect(params.text("host"), call.port(port_of(params)), 1000);
  }

  std::string state_digest(const Params&, Call&) const override { return "changes nothing"; }

 private:
  static int port_of(const Params& params) {
    const auto port = params.integer("port");
    if (port < 1 || port > 65535)
      throw Error(ErrorKind::refused, "cannot connect", "port", std::to_string(port) + " is no TCP port",
                  "write a number from 1 to 65535");
    return static_cast<int>(port);
  }
};

std::vector<Field> fields() {
  std::vector<Field> fields = {
      {"host", FieldType::text, false, "\"127.0.0.1\"", "name or address", "\"db.example.org\"", {}},
      {"port", FieldType::integer, true, "", "the TCP port", "5432", {}},
      {"service",
       FieldType::text,
       false,
       "",
       "identity of a service of this host: only its own processes may serve the port",
       "app.identity",
       {}},
  };
  for (Field& field : patience_fields("30s")) fields.push_back(std::move(field));
  return fields;
}

}  // namespace

extern const StepType probe_tcp;
const StepType probe_tcp = {
    .name = "probe.tcp",
    .doc =
        "Prove that a TCP port takes connections.\n"
        "Nothing is sent. With `service` the port must be served by the process that this run started.",
    .example = "probe.tcp \"redis\" { port = 6379, within = \"1m\" }",
    .fields = fields(),
    .outputs = {{"took", "the time until it had passed"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = true,
    .watches = true,
    .make = make_step<Tcp>,
};

}  // namespace relight
