#include "transport/nccl_library.h"

#include <dlfcn.h>

#include "core/error.h"

namespace riverrun::transport {

namespace {

constexpr const char* kLibrary = "libnccl.so.2";

// Where the loader looks, else where it was when this was built.
void* open_library() {
  if (void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL)) return library;
  const std::string first = dlerror(), built_with = std::string(RIVERRUN_NCCL_FOLDER) + "/" + kLibrary;
  if (void* const library = dlopen(built_with.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  throw InputError(concat("--transport nccl: cannot load ", kLibrary, ": ", first, "; ", dlerror(),
                          "; install NCCL, put its folder into LD_LIBRARY_PATH, or use --transport mpi"));
}

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  RR_CHECK_INPUT(function != nullptr, "--transport nccl: ", kLibrary, " has no ", name, "; install NCCL ",
                 nccl_version_text(NCCL_VERSION_CODE), " or later, or use --transport mpi");
}

}  // namespace

NcclLibrary load_nccl() {
  void* const library = open_library();
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
  RR_CHECK_INPUT(version >= NCCL_VERSION_CODE, "--transport nccl: this machine has NCCL ", nccl_version_text(version),
                 ", and riverrun was built for ", nccl_version_text(NCCL_VERSION_CODE), " or later; or use --transport mpi");
  return nccl;
}

}  // namespace riverrun::transport
