// What each transport gives to the registry, and checks they share.
#pragma once

#include "transport/transport.h"

namespace riverrun::transport {

using Body = std::function<int(Transport&)>;

int run_self(const Options& options, const Body& body);
int run_threads(const Options& options, const Body& body);
int run_mpi(const Options& options, const Body& body);
int run_nccl(const Options& options, const Body& body);

// Throws unless `peer` is another rank and `tag` is one that the transport can carry.
void check_address(const Transport& transport, int peer, Index tag);

// The one wording for a message that does not fit its receive; `got` < 0 when only "longer" is known.
[[noreturn]] void throw_wrong_length(int rank, int peer, Index tag, Index got, Index expected);

// An abort never ends a job with success.
inline int failing_code(int exit_code) { return exit_code == 0 ? 1 : exit_code; }

}  // namespace riverrun::transport
