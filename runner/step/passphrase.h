// The passphrase of a backup that its own system encrypts: never stored with it, and lost with the backup's
// use. How those systems lay out what they encrypt is theirs; what can be proved is that the passphrase at
// hand is the one that was in use when the recovery set was made.
//
// backup.json holds "passphrase": a check value (check_value.h), never the passphrase. Who has the file gains
// no more than from the encrypted backup itself: there, too, he may try passphrases, at the same 600,000
// iterations each. The salt is the check value's own, so that its hash is no key of anything.
#pragma once
#include <string>

#include "runner/step/recovery_set.h"
#include "runner/step/secret.h"

namespace relight {

// What backup.json holds of it. A refused Error where it is empty. `unique`: what no other set was made with.
Json passphrase_json(const Secret& passphrase, const std::string& unique);

// Null: none is at hand. A passphrase that is not the recorded one is a problem; so is one of which nothing
// is recorded, since nothing is proved then.
void check_passphrase(const RecoverySet& set, const Secret* passphrase, SetReport& report);

}  // namespace relight
