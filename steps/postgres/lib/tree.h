// The new data directory: made beside the old, made ready for a server, and made clean of it again.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "runner/step/call.h"
#include "steps/postgres/lib/base.h"
#include "steps/postgres/lib/survey.h"

namespace relight::postgres {

// Takes away what an earlier attempt left: the tree, and what stands in the new tablespaces' folders. A
// folder that was there before the step stays, empty.
void clear_tree(const std::string& folder, const std::vector<NewTablespace>& tablespaces);

// Unpacks the base backup: every file checked, tablespaces into their new folders and linked, WAL left out,
// what steers a recovery set aside in relight.work. DURABLE on return. The tree is ready to be replayed into.
void make_tree(const BaseBackup& base, const std::vector<NewTablespace>& tablespaces,
               const std::string& folder, Call& call);

// Every link of the tree leads into a new tablespace's folder: else a refused Error.
void check_links(const std::string& folder, const std::vector<NewTablespace>& tablespaces);

// Writes the quiet server's configuration into relight.work.
void prepare_server(const std::string& folder, int major, const Target& target, const Demands& demands);
// The same for the server that holds the tree as a paused copy, at `data` by then.
void prepare_holder(const std::string& folder, const std::string& data, int major, const Target& target,
                    const Demands& demands);
bool still_recovering(const std::string& folder);  // no: it was promoted, or was about to be
// Ended within its promotion a server has taken away what made it recover, and is on no timeline of its own
// yet: started so, it would replay past its stop and go on on the old one. Has it recover again. DURABLE
void recover_again(const std::string& folder, Timeline timeline);

// After the server has stopped: puts its own settings back, less those that steer a recovery, has the new
// timeline's history archived by the server to come, and takes relight.work away. Converges; DURABLE on
// return.
void tidy_tree(const std::string& folder, Timeline timeline, const std::vector<NewTablespace>& tablespaces);

}  // namespace relight::postgres
