#include "core/weight_storage.h"

#include "core/buffer.h"

namespace riverrun {

namespace {

class PrivateWeights final : public WeightStorage {
 public:
  bool filled() const override { return false; }
  WeightMemory take(Index bytes, const std::string&) override { return device_weights(bytes, host_device()); }
};

}  // namespace

WeightMemory device_weights(Index bytes, Device& device) {
  const auto buffer = std::make_shared<Buffer>(bytes, device);
  return {std::shared_ptr<std::byte>(buffer, buffer->data()), bytes};
}

WeightStorage& private_weights() {
  static PrivateWeights kStorage;
  return kStorage;
}

}  // namespace riverrun
