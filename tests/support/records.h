// The journal's records, made short, and what becomes of them.
#pragma once
#include <string>
#include <vector>

#include "runner/engine/recovery.h"
#include "runner/sys/json_whole.h"

namespace relight::records {

inline Json opened() {
  return {{"kind", "opened"}, {"format", 1},       {"program", "relight 0.1.0"},
          {"run", "r1"},      {"runbook", "book"}, {"plan", "d1"},
          {"drill", false},   {"wall", "T0"},      {"boot", 100}};
}
inline Json resumed() {
  return {{"kind", "resumed"}, {"program", "relight 0.2.0"}, {"pid", 7}};
}
inline Json started(const char* step, const char* op = "apply") {
  return {{"kind", "started"}, {"step", step}, {"attempt", 1}, {"op", op}, {"wall", "T1"}, {"boot", 200}};
}
inline Json finished(const char* step, const char* by = "apply") {
  return {{"kind", "finished"}, {"step", step}, {"attempt", 1}, {"outputs", {{"path", "/x"}}},
          {"by", by},           {"wall", "T2"}, {"boot", 300}};
}
inline Json failed(const char* step, bool again = false, const char* op = "apply") {
  return {
      {"kind", "failed"},
      {"step", step},
      {"attempt", 1},
      {"op", op},
      {"error", {{"kind", "transient"}, {"what", "cannot"}, {"on", "it"}, {"why", "busy"}, {"hint", "wait"}}},
      {"again", again}};
}
inline Json undone(const char* step) {
  return {{"kind", "undone"}, {"step", step}};
}
inline Json note(const char* step, const char* key, Json value) {
  return {{"kind", "note"}, {"step", step}, {"key", key}, {"value", std::move(value)}};
}
inline Json kept(const char* step, Json things) {
  return {{"kind", "kept"}, {"step", step}, {"things", std::move(things)}};
}
inline Json discarded(const char* step) {
  return {{"kind", "discarded"}, {"step", step}};
}
inline Json skipped(const char* step) {
  return {{"kind", "skipped"}, {"step", step}, {"why", "no need"}, {"outputs", {{"n", 1}}}};
}
inline Json waiting(const char* step) {
  return {{"kind", "waiting"}, {"step", step}, {"prompt", "?"}, {"boot", 150}};
}
inline Json approved(const char* step) {
  return {{"kind", "approved"}, {"step", step}, {"by", "--approve"}};
}
inline Json rolling_back(const char* to = "", const char* by = "person") {
  return {{"kind", "rolling_back"}, {"to", to}, {"by", by}};
}
inline Json interrupted() {
  return {{"kind", "interrupted"}, {"signal", 2}};
}
inline Json ended(const char* state, int exit = 0) {
  return {{"kind", "ended"}, {"state", state}, {"exit", exit}, {"verdict", {{"probes", 1}}}, {"wall", "T9"}};
}
inline Json amended(std::vector<std::string> stay) {
  return {{"kind", "amended"}, {"plan", "d2"}, {"kept", stay}, {"changes", ""}, {"file", "b.lua"}};
}

using Records = std::vector<Json>;

inline RunRecord live(const Records& records) {
  return fold(records, true);
}
inline RunRecord later(const Records& records) {
  return fold(records, false);
}

}  // namespace relight::records
