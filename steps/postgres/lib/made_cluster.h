// What the steps share that make a whole data directory beside the one there, and switch it in: the fields
// `data` and `via` name it, and `replace` allows that one which holds data is put aside.
#pragma once
#include <optional>
#include <string>

#include "runner/step/step.h"
#include "runner/step/switch.h"
#include "steps/postgres/lib/cluster.h"
#include "steps/postgres/lib/container_data.h"

namespace relight::postgres {

class MadeCluster : public Step {
 public:
  std::vector<std::string> targets(const Params& params) const override;
  Preview preview(const Params& params, Call& call) const override;
  Json apply(const Params& params, Call& call) const override;
  void undo(const Params& params, Call& call, const Json* outputs) const override;
  void discard(const Params& params, Call& call, const Json* outputs) const override;
  Json kept(const Params& params, Call& call, const Json* outputs) const override;
  Done check(const Params& params, Call& call, Json& outputs) const override;
  // Ends what earlier attempts left at work in what is not switched, and in images.
  void settle(const Params& params, Call& call) const override;

 protected:
  struct Words {
    std::vector<const char*> needs;  // fields without which nothing can be foreseen
    const char* made;                // "the standby": what it makes
    const char* failed;              // "cannot make a standby"
  };
  virtual const Words& words() const = 0;
  // Where it is made.
  struct Where {
    std::string data;                        // its folder on this host
    std::string named;                       // as the runbook has it, or the container
    std::optional<ContainerData> container;  // that serves it
  };
  virtual std::string summary(const Params& params) const = 0;  // before anything is looked at
  virtual void foresee(const Params& params, const Where& where, Call& call, Preview& preview) const = 0;
  // Makes it at beside(), notes "outputs", and marks it.
  virtual void make(const Params& params, const Where& where, Call& call, Switch& move) const = 0;
  // What undo takes back of other places.
  virtual void undo_elsewhere(const Params&, Call&) const {}

  Where where(const Params& params, Call& call) const;
  // For foresee: what lies there, how it would be switched, and whether this user can.
  struct Place {
    ClusterThere there;
    SwitchOutlook way;
  };
  Place foresee_place(const Params& params, const Where& where, Preview& preview) const;
  static std::string shown_place(const Params& params);  // for a summary

 private:
  bool done(const Params& params, Call& call) const;
};

// The fields that name the place, for a type to declare.
Field made_data_field();
Field made_via_field();

// The first problem of a preview, as a refused Error.
void refuse_by(const Preview& preview);

}  // namespace relight::postgres
