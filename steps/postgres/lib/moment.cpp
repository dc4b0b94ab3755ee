#include "steps/postgres/lib/moment.h"

#include <charconv>

#include "runner/sys/error.h"

namespace relight::postgres {

Moment parse_moment(const std::string& text) {
  const auto wrong = [&] {
    return Error(ErrorKind::refused, "this is no moment", text, "it cannot be read",
                 "write latest, a time with its offset, lsn:X/Y, xid:N or name:TEXT");
  };
  Moment moment;
  moment.text = text;
  if (text == "latest") return moment;
  const auto rest = [&](const std::string& word) -> std::optional<std::string> {
    if (text.rfind(word, 0) != 0) return std::nullopt;
    return text.substr(word.size());
  };
  if (const auto lsn = rest("lsn:")) {
    const auto parsed = parse_lsn(*lsn);
    if (!parsed) throw wrong();
    moment.kind = Moment::Kind::lsn;
    moment.lsn = *parsed;
  } else if (const auto xid = rest("xid:")) {
    const auto [end, error] = std::from_chars(xid->data(), xid->data() + xid->size(), moment.xid);
    if (error != std::errc() || end != xid->data() + xid->size()) throw wrong();
    moment.kind = Moment::Kind::xid;
  } else if (const auto name = rest("name:")) {
    if (name->empty()) throw wrong();
    moment.kind = Moment::Kind::name;
    moment.name = *name;
  } else {
    const auto time = sys::parse_time(text);
    if (!time) throw wrong();
    moment.kind = Moment::Kind::time;
    moment.time = *time;
  }
  return moment;
}

std::string shown(const Moment& moment) {
  return moment.kind == Moment::Kind::time ? sys::show_time(moment.time) : moment.text;
}

std::optional<TransactionEnd> transaction_end(const WalRecord& record) {
  if (record.manager != "Transaction") return std::nullopt;
  TransactionEnd end;
  end.xid = record.xid;
  std::string rest;
  const std::string& text = record.text;
  if (text.rfind("COMMIT ", 0) == 0) {
    end.commit = true;
    rest = text.substr(7);
  } else if (text.rfind("ABORT ", 0) == 0) {
    rest = text.substr(6);
  } else if (text.rfind("COMMIT_PREPARED ", 0) == 0 || text.rfind("ABORT_PREPARED ", 0) == 0) {
    end.commit = text[0] == 'C';
    // COMMIT_PREPARED XID: TIME
    const std::size_t space = text.find(' '), colon = text.find(": ");
    if (colon == std::string::npos) return std::nullopt;
    std::from_chars(text.data() + space + 1, text.data() + colon, end.xid);
    rest = text.substr(colon + 2);
  } else {
    return std::nullopt;
  }
  const std::size_t zone = rest.find(" UTC");
  if (zone == std::string::npos) return std::nullopt;
  const auto time = sys::parse_time(rest.substr(0, zone) + "Z");
  if (!time) return std::nullopt;
  end.time = *time;
  return end;
}

void MomentSearch::take(Lsn lsn, const TransactionEnd& end) {
  if (!latest_end || *latest_end < end.time) latest_end = end.time;
  end_before = last_end;
  last_end = End{lsn, end.time};
  if (!end.commit) return;
  if (!first_commit) first_commit = end.time;
  last_commit = end.time;
  if (!latest_commit || *latest_commit < end.time) latest_commit = end.time;
}

bool MomentSearch::see(const WalRecord& record) {
  // A position stops after the first record that begins at or after it; what is behind that one is not
  // replayed.
  if (moment_.kind == Moment::Kind::lsn && moment_.inclusive && record.lsn > moment_.lsn &&
      record.previous >= moment_.lsn)
    return true;
  if (moment_.kind == Moment::Kind::lsn && !moment_.inclusive && record.lsn >= moment_.lsn) return true;
  if (record.manager == "XLOG") {
    if (record.text.rfind("PARAMETER_CHANGE ", 0) == 0 && !raise_demands(raised, record.text) &&
        !before_minimal)
      before_minimal = record.previous;
    if (moment_.kind == Moment::Kind::name && record.text == "RESTORE_POINT " + moment_.name) {
      found_ = Found{record.lsn, true, record.previous};
      return true;
    }
    return false;
  }
  const auto end = transaction_end(record);
  if (!end) return false;
  // As the server has it: a time stops before the first end of a transaction that is later.
  const bool behind = moment_.inclusive ? end->time > moment_.time : end->time >= moment_.time;
  const bool own = moment_.kind == Moment::Kind::xid && end->xid == moment_.xid;
  if ((moment_.kind == Moment::Kind::time && behind) || (own && !moment_.inclusive)) {
    found_ = Found{record.lsn, false, record.previous};
    return true;
  }
  take(record.lsn, *end);
  if (own) {
    found_ = Found{record.lsn, true, record.previous};
    return true;
  }
  return false;
}

}  // namespace relight::postgres
