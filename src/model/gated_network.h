// GatedNetwork: a network whose channel mix has a receptance gate (RWKV-4 to 6): x += sigmoid(R x_r) * V relu(K x_k)^2.
#pragma once

#include <array>
#include <vector>

#include "model/network.h"

namespace riverrun::model {

class GatedNetwork : public Network {
 public:
  void mix_channel(Workspace& workspace, Index layer, In rows, Out next_rows) const final;
  void feed_forward(Workspace& workspace, Index layer) const final;

 protected:
  using Network::Network;

  // Whose share of a lerp the file has: in RWKV-4 and 5 the present token's (time_mix_k, time_mix_r), in RWKV-6 the previous
  // one's (time_maa_k, time_maa_r).
  enum class Share { present, previous };
  // A generation's constructor calls it for one layer after the other.
  void load_channel_mix(WeightLoader& load, Share share);

 private:
  struct ChannelMix {
    enum { kK, kR, kLerps };
    Norm norm;
    std::array<Array<float>, kLerps> mu;  // of the previous token
    Matrix key, receptance, value;
  };
  std::vector<ChannelMix> channel_mixes_;
};

}  // namespace riverrun::model
