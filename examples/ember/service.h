// The HTTP side of Ember.
//
//   GET    /readyz                        200 when database, key and blobs answer, else 503; 503 while it
//   stops GET    /api/health                    {"status", "version", "schema_version"} GET    /api/notes
//   POST {"title", "body"} adds one (1.1.0: "pinned"); DELETE /api/notes/ID GET    /api/secrets names; GET,
//   PUT (the body is the secret), DELETE /api/secrets/NAME GET    /api/attachments               POST
//   /api/notes/ID/attachments?name=NAME (the body is the file) GET    /media/ID?token=TOKEN          an
//   attachment's bytes, by the link that /api/attachments gives
//
// Whoever reaches the port may do all this: it listens on the loopback address, behind whatever asks who is
// there.
#pragma once
#include "examples/ember/config.h"

namespace ember {

// Serves until SIGTERM or SIGINT: then /readyz says 503 for the drain time, requests at work are finished,
// and it returns 0. Call before any thread is made: it blocks the two signals for all of them.
int serve(const Config& config);

}  // namespace ember
