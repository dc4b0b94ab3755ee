// The data directory of a server in a container: where it lies on this host, whose it is, and its image.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "runner/step/params.h"
#include "runner/step/via.h"
#include "runner/sys/error.h"
#include "runner/sys/files.h"
#include "runner/sys/json.h"
#include "runner/sys/made_for.h"

namespace relight::postgres {

struct ContainerData {
  std::string service;  // for messages
  std::string inside;   // its path in the container
  std::string folder;   // and on this host
  std::string volume;   // what docker knows it by: a volume's name, else a folder of this host
  std::string image;    // its id
  sys::Owner owner{};   // of the files, by numbers
};

// As a step's first attempt has noted it, so that every attempt works in one place; else as it is found now.
// `inside`: as the runbook names it; empty: the container's PGDATA. The container need not run; there is one.
// A refused Error: it lies on no volume and no folder of this host, or nobody can tell whose it is.
ContainerData container_data(const Via& via, const std::string& inside, Call& call);
// The same for a paused copy in a folder of this host, beside what the service has: served by its image, as
// the user whose the service's data is.
ContainerData container_of_copy(const Via& via, const std::string& folder, Call& call);
Json to_json(const ContainerData& data);
ContainerData container_data_from(const Json& json);
inline constexpr const char* container_note = "container";
void note_container(Call& call, const ContainerData& data);
// A step with `via` that has noted none has made nothing yet.
bool nothing_begun(const Params& params, const Call& call);

// For a preview: whether there is a container to look at. What an earlier step has to bring is a hint.
bool foresee_container(const Params& params, Call& call, Preview& preview);

// Who serves the data directory `folder` now: "a server runs on it, pid 12", "container app-db-1 runs on it";
// empty: nobody.
std::string server_on(const std::string& folder, const std::optional<ContainerData>& container);
void refuse_while_served(const std::string& folder, const std::optional<ContainerData>& container,
                         ErrorKind kind, const std::string& hint);

inline constexpr const char* stop_first = "stop it first, with service.stop in a step before this one";

// While it lives, what this thread makes is the container's user's. Nothing: for this host's own server.
std::unique_ptr<sys::MadeFor> owner_for(const std::optional<ContainerData>& container);

}  // namespace relight::postgres
