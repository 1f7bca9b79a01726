// What riverrun calls of NCCL. The library is loaded when it is first asked for: a build that knows NCCL runs on machines
// without it, too.
#pragma once

#include <nccl.h>

#include <string>

namespace riverrun::transport {

struct NcclLibrary {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRankConfig) init;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclCommFinalize) finalize;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
};

// InputError when it cannot be loaded, or is older than the header that this was compiled with.
NcclLibrary load_nccl();
// Loaded once.
const NcclLibrary& nccl();

// "2.28.9", from what get_version says.
std::string nccl_version_text(int version);

// Throws an Error with NCCL's own words unless `result` is ncclSuccess, or ncclInProgress: our communicators do not block, so
// most calls may still be at work when they return.
void check_nccl(ncclResult_t result, const char* call, ncclComm_t comm = nullptr);

}  // namespace riverrun::transport
