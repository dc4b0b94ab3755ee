// probe.http: a URL answers as it should, and from the service that this run started.
#include <algorithm>

#include "runner/step/step.h"
#include "runner/step/value.h"
#include "runner/sys/http.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/probe/lib/expect.h"
#include "steps/probe/lib/owner.h"
#include "steps/probe/lib/patience.h"

namespace relight {
namespace {

Json expected(const Params& params) {
  Json expect = params.has("expect") ? params["expect"] : Json::object();
  check_expect_names(expect, {"status", "json", "body"});
  const Json& status = expect.contains("status") ? expect["status"] : expect["status"] = 200;
  const bool one = status.is_number_integer();
  const bool several =
      status.is_array() && !status.empty() &&
      std::all_of(status.begin(), status.end(), [](const Json& item) { return item.is_number_integer(); });
  if (!one && !several)
    throw Error(ErrorKind::refused, "cannot tell what is expected", "expect.status", "it is " + status.dump(),
                "write a number, or a list of them: { 200, 204 }");
  if (expect.contains("body") && !expect["body"].is_string())
    throw Error(ErrorKind::refused, "cannot tell what is expected", "expect.body",
                "it is " + expect["body"].dump(), "write a text that the answer must contain");
  return expect;
}

std::string status_text(const Json& status) {
  if (!status.is_array()) return status.dump();
  std::vector<std::string> codes;
  for (const Json& code : status) codes.push_back(code.dump());
  return sys::join(codes, " or ");
}

// Why the answer is not the one that was expected; empty: it is.
std::string difference(const Json& expect, const sys::HttpAnswer& answer) {
  const Json& status = expect["status"];
  const bool good = status.is_array()
                        ? std::find(status.begin(), status.end(), Json(answer.status)) != status.end()
                        : status == answer.status;
  const std::string said = answer.body.empty() ? "" : ": " + excerpt(answer.body);
  if (!good) return "status " + std::to_string(answer.status) + ", not " + status_text(status) + said;
  if (expect.contains("body") && answer.body.find(expect["body"].get<std::string>()) == std::string::npos)
    return "the answer does not contain " + expect["body"].dump() + said;
  return expect.contains("json") ? body_difference(expect["json"], answer.body) : "";
}

sys::HttpRequest request_of(const Params& params) {
  sys::HttpRequest request;
  request.method = params.text("method");
  request.url = params.text("url");
  request.headers = params.environment("headers");
  request.body = params.text_or("body", "");
  request.timeout = params.duration("answer_within");
  return request;
}

class Http : public Step {
 public:
  Preview preview(const Params& params, Call&) const override {
    Preview preview;
    preview.summary = "ask " + shown(params.all()["url"]);
    for (const char* field : {"url", "expect", "service", "headers", "body"})
      if (!params.known(field)) {
        preview.verdict = Preview::Verdict::cannot_yet_tell;
        preview.proved_after = *outputs_used(params.all()[field]).begin();
      }
    try {
      preview.summary += show(patience_of(params));
      if (params.known("url")) endpoint_of_url(params.text("url"));
      if (params.known("expect")) preview.summary += ": status " + status_text(expected(params)["status"]);
    } catch (const Error& error) {
      preview.problems.push_back({error.failed, error.on, error.why, error.hint});
    }
    return preview;
  }

  Json apply(const Params& params, Call& call) const override {
    const Json expect = expected(params);
    const Patience patience = patience_of(params);
    const auto service = service_of_probe(params);
    sys::HttpRequest request = request_of(params);
    request.stop = [&call] { return call.stop_wanted(); };
    const Endpoint endpoint = endpoint_of_url(request.url);
    int status = 0;
    const auto took = ask_until_passed(
        call, patience, request.method + " " + request.url,
        "look into the service's log; the new data stays in place, `relight rollback` puts the old back",
        [&] {
          if (service)
            if (std::string why = not_reaching(*service, endpoint); !why.empty()) return why;
          const sys::HttpAnswer answer = sys::http(request);
          status = answer.status;
          std::string why = difference(expect, answer);
          // Asked again after the answer: before it, an older process could still have taken the connection.
          if (why.empty() && service) why = not_reaching(*service, endpoint);
          return why;
        });
    return {{"status", status}, {"took", sys::show_duration(took)}};
  }

  std::string look(const Params& params, Call&) const override {
    sys::HttpRequest request = request_of(params);
    request.timeout = std::min<std::chrono::milliseconds>(request.timeout, std::chrono::seconds(1));
    return difference(expected(params), sys::http(request));
  }

  std::string state_digest(const Params&, Call&) const override { return "changes nothing"; }
};

std::vector<Field> fields() {
  std::vector<Field> fields = {
      {"url", FieldType::text, true, "", "what is asked", "\"http://127.0.0.1:8080/readyz\"", {}},
      {"method",
       FieldType::choice,
       false,
       "\"GET\"",
       "how it is asked",
       "\"HEAD\"",
       {"GET", "HEAD", "POST", "PUT", "OPTIONS"}},
      {"headers",
       FieldType::env,
       false,
       "",
       "headers of the request; secrets belong here",
       "{ Authorization = secret.file \"/root/token\" }",
       {}},
      {"body", FieldType::text, false, "", "the body of the request", "\"{}\"", {}},
      {"expect",
       FieldType::table,
       false,
       "",
       "the answer: `status` (200, or a list), `json` (fields and their values, nested), `body` (a text in "
       "it)",
       "{ status = 200, json = { status = \"ok\" } }",
       {}},
      {"service",
       FieldType::text,
       false,
       "",
       "identity of a service of this host: only its own processes may serve the port, no older one and no "
       "stranger",
       "app.identity",
       {}},
      {"answer_within", FieldType::duration, false, "\"10s\"", "how long one answer may take", "\"3s\"", {}},
  };
  for (Field& field : patience_fields("30s")) fields.push_back(std::move(field));
  return fields;
}

}  // namespace

extern const StepType probe_http;
const StepType probe_http = {
    .name = "probe.http",
    .doc =
        "Prove that a URL answers as it should.\n"
        "Asked again and again until the answer is as expected, `within` at most. With `consecutive` and "
        "`hold` one good "
        "answer is not enough. With `service` the answer must come from the process that this run started.",
    .example =
        "probe.http \"health\" { url = \"http://127.0.0.1:8080/api/health\",\n"
        "  expect = { status = 200, json = { status = \"ok\" } }, within = \"2m\", hold = \"20s\" }",
    .fields = fields(),
    .outputs = {{"status", "the last answer's status"}, {"took", "the time until it had passed"}},
    .in_doubt = InDoubt::again,
    .undo = Undo::whole,
    .stays = "",
    .drill = Drill::runs,
    .is_probe = true,
    .watches = true,
    .make = make_step<Http>,
};

}  // namespace relight
