#include "transport/nccl_pair.h"

#include <thread>

#include "core/error.h"

namespace riverrun::transport {

namespace {

// Thread blocks per operation. They are taken from the model's kernels for as long as the operation waits for its other half.
constexpr int kMostBlocks = 1;
constexpr std::chrono::seconds kOthersFirst{3};  // longer than a rank that fails takes to end its communicators

}  // namespace

NcclPair::NcclPair(Role role, int peer, const ncclUniqueId& id, Clock::duration timeout)
    : role_(role), peer_(peer), timeout_(timeout) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.minCTAs = config.maxCTAs = kMostBlocks;
  check_nccl(nccl().init(&comm_, 2, id, role == Role::sender ? 0 : 1, &config), "ncclCommInitRankConfig");
}

std::string NcclPair::describe() const { return concat(role_ == Role::sender ? "sending to rank " : "receiving from rank ", peer_); }

bool NcclPair::settled() {
  ncclResult_t state = ncclSuccess;
  check_nccl(nccl().async_error(comm_, &state), "ncclCommGetAsyncError", comm_);
  // Mostly another rank has failed first: what it says by MPI ends this process with the right words and exit code.
  if (state != ncclSuccess && state != ncclInProgress) std::this_thread::sleep_for(kOthersFirst);
  check_nccl(state, describe().c_str(), comm_);
  if (state == ncclSuccess) {
    connected_ = true;
    return true;
  }
  RR_CHECK(connected_ || Clock::now() - begun_ < timeout_, "NCCL has not connected this rank for ", describe(), " within ",
           std::chrono::duration<double>(timeout_).count(), " s (--timeout); NCCL_DEBUG=INFO says more");
  return false;
}

void NcclPair::enqueue(void* data, Index bytes, void* stream) {
  const auto order = static_cast<cudaStream_t>(stream);
  const auto size = static_cast<std::size_t>(bytes);
  if (role_ == Role::sender) {
    check_nccl(nccl().send(data, size, ncclUint8, 1, comm_, order), "ncclSend", comm_);
  } else {
    check_nccl(nccl().receive(data, size, ncclUint8, 0, comm_, order), "ncclRecv", comm_);
  }
}

void NcclPair::begin_disconnect() { check_nccl(nccl().finalize(comm_), "ncclCommFinalize", comm_); }

void NcclPair::destroy() {
  check_nccl(nccl().destroy(comm_), "ncclCommDestroy");
  comm_ = nullptr;
}

}  // namespace riverrun::transport
