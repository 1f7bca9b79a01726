#include "transport/nccl_lane.h"

namespace riverrun::transport {

void NcclLane::start(NcclPair& pair, std::vector<Part> group) {
  check_nccl(nccl().group_start(), "ncclGroupStart");
  for (const Part& part : group) pair.enqueue(part.data, part.bytes, Stream(stream_).order);
  check_nccl(nccl().group_end(), "ncclGroupEnd", pair.comm());
  pair_ = &pair;
  group_ = std::move(group);
}

std::vector<NcclLane::Part> NcclLane::finished() {
  if (free()) return {};
  // A stream is idle, too, before NCCL has put the group into it: the pair has to be asked first.
  const Stream stream = stream_;
  if (!pair_->settled() || !stream.device->idle(stream)) return {};
  pair_ = nullptr;
  return std::exchange(group_, {});
}

}  // namespace riverrun::transport
