#include "steps/postgres/lib/replay.h"

#include <fmt/core.h>

#include <algorithm>

#include "runner/sys/error.h"
#include "runner/sys/failpoint.h"
#include "runner/sys/files.h"
#include "runner/sys/json_whole.h"
#include "runner/sys/text.h"
#include "steps/postgres/lib/copy.h"
#include "steps/postgres/lib/feeder.h"
#include "steps/postgres/lib/offers.h"
#include "steps/postgres/lib/quieted.h"
#include "steps/postgres/lib/server.h"
#include "steps/postgres/lib/soundness.h"
#include "steps/postgres/lib/tree.h"

namespace relight::postgres {

namespace {

constexpr std::size_t few_segments = 8;  // are replayed once more in less than a second

Error followed_another(Timeline followed, Timeline wanted) {
  return Error(ErrorKind::permanent, "the recovery followed another timeline", std::to_string(followed),
               "it was to follow timeline " + std::to_string(wanted),
               "see the step's log; the target is as it was");
}

// What opens and is not as it was: the indexes of a collation that this host sorts otherwise, extensions that
// it has not. Only the running server can tell.
void warn_of_host(QuietServer& server, const std::string& database, const Wish& wish, Call& call) {
  try {
    sys::Sql sql = server.connect(database, wish.role);
    for (const Flaws& flaws : {changed_collations(sql), changed_extensions(sql)})
      for (const Flaw& flaw : flaws)
        call.log("WARNING: in the database " + database + " " + flaw.what + ": " + flaw.mend);
  } catch (const sys::SqlError& error) {
    call.log("the collations and extensions of the database " + database +
             " cannot be read: " + error.what());
  }
}

void open_database(QuietServer& server, const Wish& wish, Call& call) {
  sys::Sql any = server.connect("template1", wish.role);
  const sys::Rows names = any.query("select datname from pg_database where datallowconn order by 1");
  std::vector<std::string> there;
  for (const auto& row : names.rows) there.push_back(row[0].value_or(""));
  if (std::find(there.begin(), there.end(), wish.database) == there.end())
    throw Error(ErrorKind::permanent, "the recovered cluster has no such database", wish.database,
                "it has " + sys::join(there, ", "), "name one of these; the target is as it was");
  sys::Sql sql = server.connect(wish.database, wish.role);
  call.log("the database " + wish.database + " opens, with " +
           sql.query("select count(*) from pg_class where relkind in ('r', 'p')").one() + " tables");
  for (const std::string& name : there) warn_of_host(server, name, wish, call);
}

}  // namespace

void compare_reached(const Target& target, Lsn reached, const std::string& last_end) {
  const auto wrong = [&](const std::string& why) {
    return Error(ErrorKind::permanent, "the recovery did not stop where it was told to",
                 show_lsn(target.stop.lsn), why,
                 "see the step's log, and check the WAL archive; the target is as it was");
  };
  if (reached <= target.after || reached > target.upto)
    throw wrong(fmt::format("it stopped at {}, which is not after {} and up to {}", show_lsn(reached),
                            show_lsn(target.after), show_lsn(target.upto)));
  // A server that was started again behind the last transaction has none to tell.
  if (!last_end.empty() && last_end != target.last_end)
    throw wrong("the last transaction that it replayed is of " + last_end + ", and the archive's is " +
                (target.last_end.empty() ? "none" : "of " + target.last_end));
}

Lsn compare_history(const Target& target, Timeline timeline, const std::string& history,
                    const std::string& on) {
  const Path path = parse_history(timeline, history, on);
  if (path.size() < 2)
    throw Error(ErrorKind::permanent, "the recovery did not end in a timeline of its own", on,
                "it names no parent");
  const Stretch& left = path[path.size() - 2];
  if (left.timeline != target.stop.timeline) throw followed_another(left.timeline, target.stop.timeline);
  compare_reached(target, left.end, "");
  return left.end;
}

std::string told_heartbeat(const Call& call) {
  const Json& notes = call.notes();
  return notes.contains("heartbeat") && notes["heartbeat"].is_string() ? notes["heartbeat"].get<std::string>()
                                                                       : "";
}

Json told_quieted(const Call& call) {
  return call.notes().contains("quieted") ? call.notes()["quieted"] : Json::array();
}

std::string heartbeat_query(const std::string& heartbeat) {
  const std::vector<std::string> parts = sys::split(heartbeat, '.');
  if (parts.size() != 3 || std::count(parts.begin(), parts.end(), "") > 0)
    throw Error(ErrorKind::refused, "this is no heartbeat", heartbeat, "it is not SCHEMA.TABLE.COLUMN",
                "write heartbeat = \"public.heartbeat.at\"");
  return "select to_char(max(" + sys::quote_identifier(parts[2]) +
         ") at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from " +
         sys::quote_identifier(parts[0]) + "." + sys::quote_identifier(parts[1]);
}

Json compare_paused(sys::Sql& sql, Timeline read, const Target& target) {
  const sys::Rows told = sql.query(
      "select pg_last_wal_replay_lsn(),"
      " to_char(pg_last_xact_replay_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
  const std::string lsn = told.rows[0][0].value_or("");
  std::string last_end = told.rows[0][1].value_or("");
  if (const auto time = sys::parse_time(last_end)) last_end = sys::show_time(*time);
  if (read > target.stop.timeline) throw followed_another(read, target.stop.timeline);
  compare_reached(target, parse_lsn(lsn).value_or(0), last_end);
  return {{"lsn", lsn}, {"last_end", last_end}, {"timeline", target.stop.timeline}};
}

namespace {

// Of a copy, whose base backup may be gone, its own pg_wal holds what the archive has no more.
WalArchive archive_of(const Wish& wish, const std::string& work) {
  std::vector<Problem> problems;  // were told by the survey; what is missing by now the server will not get
  if (!wish.has_base()) return WalArchive(wish.wal, problems);
  return open_archive(wish, chosen_base(wish), work, problems);
}

// Runs `act(server, paused)` while the quiet server stands at the stop, or has gone on by itself.
template <class Act>
void at_the_stop(const Wish& wish, const Decision& decision, const Programs& programs,
                 const std::string& folder, Call& call, const Act& act) {
  const Control control = read_control(programs, folder);
  const std::string work = folder + "/" + work_folder;
  sys::make_folders(work, 0700);
  const WalArchive archive = archive_of(wish, work);
  prepare_server(folder, decision.major, decision.target, control.demands);
  if (!still_recovering(folder) &&
      std::max(control.timeline, control.recovery_timeline) <= decision.target.stop.timeline)
    recover_again(folder, decision.target.stop.timeline);
  failpoint("postgres.recover:prepared");
  const Feeder feeder(archive, decision.target.segments, control.segment_size, folder);
  QuietServer server(programs, folder, call);
  const bool recovers = still_recovering(folder);
  const auto found = server.await(wish.role, decision.target.segments.size());
  failpoint("postgres.recover:started");
  act(server, recovers && found == QuietServer::Found::paused);
}

// A misspelt name does not undo the work of hours: what was lost is then a range, and the log says why.
void note_heartbeat(QuietServer& server, const Wish& wish, Call& call) {
  if (wish.heartbeat.empty() || !told_heartbeat(call).empty()) return;
  try {
    const sys::Rows rows = server.connect(wish.database, wish.role).query(heartbeat_query(wish.heartbeat));
    if (const auto time = sys::parse_time(rows.rows.at(0).at(0).value_or("")))
      return call.note("heartbeat", sys::show_time(*time));
    call.log("the heartbeat " + wish.heartbeat + " holds no time");
  } catch (const sys::SqlError& error) {
    call.log("the heartbeat cannot be read: " + std::string(error.what()));
  }
}

// What it cannot tell for once does not undo the work of hours.
void note_quieted(QuietServer& server, const Wish& wish, Call& call) {
  if (call.notes().contains("quieted")) return;
  try {
    call.note("quieted", quieted_by_catalog(server, wish.role));
  } catch (const sys::SqlError& error) {
    call.log("what its service will start cannot be read: " + std::string(error.what()));
  }
}

// The segments that were laid for it are the archive's, and of no use to a cluster that was shut down on a
// newer timeline: they are not worth the last sync.
void drop_replayed(const std::string& folder, Timeline now) {
  for (const std::string& place : {folder + "/pg_wal/", folder + "/pg_wal/archive_status/"})
    for (const std::string& name : sys::names_in(place)) {
      const std::string bare = name.substr(name.starts_with(".") ? 1 : 0, 24);  // .NAME.done.tmp, of a kill
      const auto segment = parse_segment(bare, smallest_segment_size);
      if (segment && segment->timeline < now) sys::remove_file(place + name);
    }
}

void note_reached(QuietServer& server, const Wish& wish, const Target& target, Call& call) {
  sys::Sql sql = server.connect("template1", wish.role);
  call.note("reached", compare_paused(sql, server.timeline_read(), target));
  failpoint("postgres.recover:reached");
}

}  // namespace

Replayed replay(const Wish& wish, const Decision& decision, const Programs& programs,
                const std::string& folder, Call& call) {
  at_the_stop(wish, decision, programs, folder, call, [&](QuietServer& server, bool paused) {
    // One that an earlier attempt has promoted is open. So is one in which nobody could have looked at a
    // pause; of it the history tells, below.
    if (paused) {
      note_reached(server, wish, decision.target, call);
      note_heartbeat(server, wish, call);
      note_quieted(server, wish, call);
      server.promote(wish.role);
      failpoint("postgres.recover:promoted");
    }
    open_database(server, wish, call);
    note_heartbeat(server, wish, call);
    note_quieted(server, wish, call);
    server.stop();
  });
  const Control ended = read_control(programs, folder);
  if (ended.state != "shut down")
    throw Error(ErrorKind::permanent, "the recovered cluster was not shut down cleanly", folder,
                "pg_control says \"" + ended.state + "\"",
                "resume the run: the replay is gone through again");
  const std::string history = folder + "/pg_wal/" + history_name(ended.timeline);
  const Lsn lsn = compare_history(decision.target, ended.timeline,
                                  sys::read_file_if_there(history).value_or(""), history);
  drop_replayed(folder, ended.timeline);
  return {lsn, ended.timeline};
}

Replayed replay_to_pause(const Wish& wish, const Decision& decision, const Programs& programs,
                         const std::string& folder, Call& call) {
  at_the_stop(wish, decision, programs, folder, call, [&](QuietServer& server, bool paused) {
    if (!paused)
      throw Error(ErrorKind::permanent, "the copy cannot be held at this moment", wish.moment.text,
                  "the server has ended its recovery there by itself, as nobody could have looked in",
                  "ask for a later moment");
    note_reached(server, wish, decision.target, call);
    open_database(server, wish, call);
    note_heartbeat(server, wish, call);
    note_quieted(server, wish, call);
    // A clean stop takes a second, and makes the next start short. It is not made where it would take the
    // goal of that start away.
    if (decision.target.segments.size() > few_segments &&
        !stops_at_shutdown(programs, folder, decision.target.stop))
      server.stop();
  });
  return {*parse_lsn(call.notes()["reached"]["lsn"].get<std::string>()), decision.target.stop.timeline};
}

}  // namespace relight::postgres
