#include "runner/sys/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "runner/sys/files.h"
#include "runner/sys/text.h"

namespace relight::sys {
namespace {

constexpr unsigned state_listen = 0x0A;

// The kernel prints an address as 32-bit words in the host's byte order.
std::string address_of(const char* hex) {
  std::array<std::uint32_t, 4> words{};
  const std::size_t count = std::strlen(hex) / 8;
  for (std::size_t i = 0; i < count && i < words.size(); ++i)
    std::sscanf(std::string(hex + 8 * i, 8).c_str(), "%8x", &words[i]);
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(count == 1 ? AF_INET : AF_INET6, words.data(), text, sizeof text);
  return text;
}

void add_listeners(const std::string& path, int port, std::vector<Listener>& found) {
  for (const std::string& line : split(read_file_if_there(path).value_or(""), '\n')) {
    char address[33];
    unsigned its_port, state;
    unsigned long inode;
    if (std::sscanf(line.c_str(), " %*d: %32[0-9A-F]:%x %*32[0-9A-F]:%*x %x %*s %*s %*s %*s %*s %lu", address,
                    &its_port, &state, &inode) != 4)
      continue;
    if (state == state_listen && static_cast<int>(its_port) == port)
      found.push_back({address_of(address), port, inode});
  }
}

bool holds(int pid, const std::string& link) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) return false;
  bool found = false;
  while (dirent* entry = found ? nullptr : readdir(entries)) {
    char text[64];
    ssize_t size = readlinkat(dirfd(entries), entry->d_name, text, sizeof text);
    found = size > 0 && link == std::string_view(text, static_cast<std::size_t>(size));
  }
  closedir(entries);
  return found;
}

}  // namespace

std::vector<Listener> listeners_on(int port, int pid) {
  std::vector<Listener> found;
  const std::string folder = pid == 0 ? "/proc/net" : "/proc/" + std::to_string(pid) + "/net";
  add_listeners(folder + "/tcp", port, found);
  add_listeners(folder + "/tcp6", port, found);
  return found;
}

std::vector<ProcStat> holders_of_socket(std::uint64_t inode, const std::vector<ProcStat>& among) {
  const std::string link = "socket:[" + std::to_string(inode) + "]";
  std::vector<ProcStat> holders;
  for (const ProcStat& stat : among)
    if (!stat.ended() && holds(stat.process.pid, link)) holders.push_back(stat);
  return holders;
}

std::string show_process(int pid) {
  std::string name = trim(read_file_if_there("/proc/" + std::to_string(pid) + "/comm").value_or(""));
  return "process " + std::to_string(pid) + (name.empty() ? "" : " (" + mend_utf8(name) + ")");
}

}  // namespace relight::sys
