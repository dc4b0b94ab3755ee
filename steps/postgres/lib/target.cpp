#include "steps/postgres/lib/target.h"

#include "runner/sys/json_whole.h"

namespace relight::postgres {

Json to_json(const Target& target) {
  Json segments = Json::array();
  for (const Handed& handed : target.segments) segments.push_back({handed.as, handed.file});
  return {{"lsn", show_lsn(target.stop.lsn)},
          {"inclusive", target.stop.inclusive},
          {"timeline", target.stop.timeline},
          {"after", show_lsn(target.after)},
          {"upto", show_lsn(target.upto)},
          {"last_commit", target.last_commit},
          {"last_end", target.last_end},
          {"segments", std::move(segments)},
          {"max_connections", target.raised.max_connections},
          {"max_worker_processes", target.raised.max_worker_processes},
          {"max_wal_senders", target.raised.max_wal_senders},
          {"max_prepared_transactions", target.raised.max_prepared_transactions},
          {"max_locks_per_transaction", target.raised.max_locks_per_transaction}};
}

Target target_from_json(const Json& json) {
  const auto lsn = [&](const char* name) { return *parse_lsn(json.at(name).get<std::string>()); };
  Target target;
  target.stop = {.lsn = lsn("lsn"),
                 .inclusive = json.at("inclusive").get<bool>(),
                 .timeline = json.at("timeline").get<Timeline>()};
  target.after = lsn("after");
  target.upto = lsn("upto");
  target.last_commit = json.at("last_commit").get<std::string>();
  target.last_end = json.at("last_end").get<std::string>();
  for (const Json& handed : json.at("segments")) target.segments.push_back({handed.at(0), handed.at(1)});
  json.at("max_connections").get_to(target.raised.max_connections);
  json.at("max_worker_processes").get_to(target.raised.max_worker_processes);
  json.at("max_wal_senders").get_to(target.raised.max_wal_senders);
  json.at("max_prepared_transactions").get_to(target.raised.max_prepared_transactions);
  json.at("max_locks_per_transaction").get_to(target.raised.max_locks_per_transaction);
  return target;
}

}  // namespace relight::postgres
