#include "steps/postgres/lib/dump_moment.h"

#include <chrono>
#include <ctime>

namespace relight::postgres {

std::optional<sys::Time> dump_moment(const std::string& told) {
  const std::size_t last = told.rfind(' ');
  if (last == std::string::npos) return std::nullopt;
  const std::string clock = told.substr(0, last), zone = told.substr(last + 1);
  const auto read = sys::parse_time(clock + "Z");
  if (!read) return std::nullopt;
  if (zone == "UTC" || zone == "GMT") return read;
  if (const auto with_offset = sys::parse_time(clock + zone)) return with_offset;

  const std::time_t as_utc = std::chrono::system_clock::to_time_t(*read);
  for (const int summer : {1, 0}) {  // one wall clock time, two moments a year: the zone's name tells which
    std::tm wall{}, back{};
    gmtime_r(&as_utc, &wall);
    wall.tm_isdst = summer;
    const std::time_t moment = std::mktime(&wall);
    if (moment == -1 || localtime_r(&moment, &back) == nullptr) continue;
    if (back.tm_isdst == summer && zone == back.tm_zone) return sys::Time(std::chrono::seconds(moment));
  }
  return std::nullopt;
}

}  // namespace relight::postgres
