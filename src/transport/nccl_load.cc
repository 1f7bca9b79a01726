#include "transport/nccl_library.h"

#include <algorithm>

#include "core/dynamic_library.h"
#include "core/error.h"

namespace riverrun::transport {

namespace {

constexpr const char* kLibrary = "libnccl.so.2";
// Before 2.27.3 a thread can have one group that does not block under way; the pairs of a rank connect at once.
constexpr int kLeastVersion = std::max(NCCL_VERSION_CODE, 22703);

template <class Function>
void find(void* library, const char* name, Function& function) {
  RR_CHECK_INPUT(find_function(library, name, function), "--transport nccl: ", kLibrary, " has no ", name, "; install NCCL ",
                 nccl_version_text(kLeastVersion), " or later, or use --transport mpi");
}

}  // namespace

NcclLibrary load_nccl() {
  void* const library = load_library(kLibrary, RIVERRUN_NCCL_FOLDER, "--transport nccl",
                                     "install NCCL, put its folder into LD_LIBRARY_PATH, or use --transport mpi");
  NcclLibrary nccl;
  find(library, "ncclGetVersion", nccl.get_version);
  find(library, "ncclGetErrorString", nccl.error_string);
  find(library, "ncclGetLastError", nccl.last_error);
  find(library, "ncclGetUniqueId", nccl.get_unique_id);
  find(library, "ncclCommInitRankConfig", nccl.init);
  find(library, "ncclCommGetAsyncError", nccl.async_error);
  find(library, "ncclCommFinalize", nccl.finalize);
  find(library, "ncclCommDestroy", nccl.destroy);
  find(library, "ncclCommAbort", nccl.abort);
  find(library, "ncclGroupStart", nccl.group_start);
  find(library, "ncclGroupEnd", nccl.group_end);
  find(library, "ncclSend", nccl.send);
  find(library, "ncclRecv", nccl.receive);
  int version = 0;
  RR_CHECK(nccl.get_version(&version) == ncclSuccess, kLibrary, " does not say its version");
  RR_CHECK_INPUT(version >= kLeastVersion, "--transport nccl: this machine has NCCL ", nccl_version_text(version), ", and riverrun needs ",
                 nccl_version_text(kLeastVersion), " or later; or use --transport mpi");
  return nccl;
}

}  // namespace riverrun::transport
