#include "transport/nccl_library.h"

#include "core/error.h"

namespace riverrun::transport {

const NcclLibrary& nccl() {
  static const NcclLibrary kFunctions = load_nccl();
  return kFunctions;
}

std::string nccl_version_text(int version) { return concat(version / 10000, ".", version / 100 % 100, ".", version % 100); }

void check_nccl(ncclResult_t result, const char* call, ncclComm_t comm) {
  if (result == ncclSuccess || result == ncclInProgress) [[likely]] return;
  const char* const last = nccl().last_error(comm);
  throw Error(concat("NCCL: ", call, " failed: ", nccl().error_string(result), " (", static_cast<int>(result), ")",
                     last != nullptr && *last != 0 ? concat("; ", last) : "", "; NCCL_DEBUG=INFO says more"));
}

}  // namespace riverrun::transport
