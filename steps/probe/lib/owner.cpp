#include "steps/probe/lib/owner.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>

#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/sockets.h"
#include "runner/sys/text.h"
#include "steps/probe/lib/patience.h"

namespace relight {
namespace {

std::string text_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, text, sizeof text);
  if (address->sa_family == AF_INET6)
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, text, sizeof text);
  return text;
}

std::set<std::string> addresses_of(const std::string& host) {
  addrinfo* found = nullptr;
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  std::set<std::string> addresses;
  if (getaddrinfo(host.c_str(), nullptr, &wanted, &found) != 0) return addresses;
  for (addrinfo* one = found; one != nullptr; one = one->ai_next) addresses.insert(text_of(one->ai_addr));
  freeaddrinfo(found);
  return addresses;
}

bool is_of_this_host(const std::string& address) {
  if (address.starts_with("127.") || address == "::1" || address == "0.0.0.0" || address == "::") return true;
  ifaddrs* found = nullptr;
  if (getifaddrs(&found) != 0) return false;
  std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> holder(found, freeifaddrs);
  for (ifaddrs* one = found; one != nullptr; one = one->ifa_next)
    if (one->ifa_addr != nullptr && text_of(one->ifa_addr) == address) return true;
  return false;
}

bool takes(const sys::Listener& listener, const std::set<std::string>& addresses) {
  if (listener.address == "0.0.0.0" || listener.address == "::") return true;
  const bool mapped = listener.address.starts_with("::ffff:");
  return addresses.count(mapped ? listener.address.substr(7) : listener.address) != 0;
}

// Listeners of the port that take connections to these addresses, with those who hold them.
using Held = std::vector<std::vector<sys::ProcStat>>;
Held holders_of_port(int port, const std::set<std::string>& addresses,
                     const std::vector<sys::ProcStat>& all) {
  Held held;
  for (const sys::Listener& listener : sys::listeners_on(port))
    if (takes(listener, addresses)) held.push_back(sys::holders_of_socket(listener.inode, all));
  return held;
}

std::string not_served_by(const sys::ProcessId& service, int number, const std::set<std::string>& addresses) {
  const auto all = sys::proc_all();
  std::set<int> its;
  for (const sys::ProcStat& stat : sys::descendants_of(all, {service.pid})) its.insert(stat.process.pid);
  const std::string port = "port " + std::to_string(number);
  const Held listeners = holders_of_port(number, addresses, all);
  for (const auto& holders : listeners) {
    bool held = false;
    for (const sys::ProcStat& holder : holders) {
      if (its.count(holder.process.pid) != 0) {
        held = true;
      } else if (holder.process.pid != 1) {  // a manager that hands its sockets to its services
        return port + " is served by " + sys::show_process(holder.process.pid) + ", not by the service, " +
               sys::show_process(service.pid);
      }
    }
    if (!held) return port + " is not served by the service, " + sys::show_process(service.pid);
  }
  return listeners.empty() ? "nobody listens on " + port : "";
}

// What carries a published port into its container, where it is not the kernel alone.
bool carries_ports(const sys::ProcStat& stat) {
  const std::string name =
      sys::trim(sys::read_file_if_there("/proc/" + std::to_string(stat.process.pid) + "/comm").value_or(""));
  return name == "docker-proxy" || name == "rootlesskit";
}

std::string not_published_by(const sys::ContainerStart& start, int number,
                             const std::set<std::string>& addresses) {
  const sys::Docker docker([](sys::Command command) { return sys::run(command); });
  const auto container = docker.inspect_one(start.id);
  if (!container || container->status != "running" || container->started_at != start.started_at)
    throw Hopeless{Error(ErrorKind::permanent, "the service has ended", "container " + start.id.substr(0, 12),
                         !container                       ? "it is gone"
                         : container->status != "running" ? "it is " + container->status
                                                          : "it was started again since",
                         "look into its log for why it ended")};
  if (container->host_network) return not_served_by(container->process, number, addresses);
  const std::string port = "port " + std::to_string(number);
  if (!container->inside_of(number)) return port + " is not published by the container " + container->name;
  for (const auto& holders : holders_of_port(number, addresses, sys::proc_all()))
    for (const sys::ProcStat& holder : holders)
      if (!carries_ports(holder))
        return port + " is served by " + sys::show_process(holder.process.pid) + ", not by the container " +
               container->name;
  return sys::Docker::listens(*container, number) ? ""
                                                  : "nobody listens on " + port + " of " + container->name;
}

}  // namespace

Endpoint endpoint_of_url(const std::string& url) {
  const bool tls = url.starts_with("https://");
  if (!tls && !url.starts_with("http://"))
    throw Error(ErrorKind::refused, "cannot ask", url, "it is no http or https URL",
                "write it whole: \"http://127.0.0.1:8080/readyz\"");
  std::string host = url.substr(tls ? 8 : 7);
  host = host.substr(0, host.find_first_of("/?#"));
  if (std::size_t at = host.rfind('@'); at != std::string::npos) host = host.substr(at + 1);
  Endpoint endpoint{"", tls ? 443 : 80};
  const std::size_t end = host.starts_with('[') ? host.find(']') : std::string::npos;
  const std::size_t colon = host.find(':', end == std::string::npos ? 0 : end);
  if (colon != std::string::npos) endpoint.port = std::atoi(host.c_str() + colon + 1);
  endpoint.host = end != std::string::npos ? host.substr(1, end - 1) : host.substr(0, colon);
  if (endpoint.host.empty() || endpoint.port < 1 || endpoint.port > 65535)
    throw Error(ErrorKind::refused, "cannot ask", url, "its host or port is missing",
                "write it whole: \"http://127.0.0.1:8080/readyz\"");
  return endpoint;
}

std::optional<ServiceStart> service_of_probe(const Params& params) {
  if (!params.has("service")) return std::nullopt;
  if (auto container = sys::container_start_from(params.text("service"))) return ServiceStart{{}, container};
  auto process = sys::process_from(params.text("service"));
  if (!process)
    throw Error(ErrorKind::refused, "cannot tell which service is meant", params.text("service"),
                "it is no identity of a service",
                "write service = app.identity, of the handle of a service.start");
  if (process->pid == 0)
    return std::nullopt;  // a unit without a main process: there is nobody to compare with
  return ServiceStart{*process, std::nullopt};
}

std::string not_reaching(const ServiceStart& service, const Endpoint& endpoint) {
  if (!service.container && !alive(service.process))
    throw Hopeless{Error(ErrorKind::permanent, "the service has ended",
                         "process " + std::to_string(service.process.pid), "it was there when it was started",
                         "look into its log for why it ended")};
  const auto addresses = addresses_of(endpoint.host);
  if (addresses.empty()) return "the name " + endpoint.host + " is not known";
  if (std::none_of(addresses.begin(), addresses.end(), is_of_this_host))
    throw Hopeless{Error(ErrorKind::permanent, "cannot tell whose answer it is", endpoint.host,
                         "it is no address of this host", "leave `service` out, or ask by 127.0.0.1")};
  return service.container ? not_published_by(*service.container, endpoint.port, addresses)
                           : not_served_by(service.process, endpoint.port, addresses);
}

}  // namespace relight
