// The identity tests would notice: a model that loses one hand-over of one layer gives other numbers, to the end of the
// document. With weights that forget quickly it would not (docs/ring.md).

#include <gtest/gtest.h>

#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

enum class Loss { state, time_row, channel_row, other_layer };

// Passes everything on to a real model, but for one hand-over that it gets wrong.
class ForgetfulModel : public model::Model {
 public:
  ForgetfulModel(const model::Model& model, Loss loss, Index layer)
      : Model(model.config(), model.state_shape(), model.precision(), model.weights(), model.device()), model_(model), loss_(loss), layer_(layer) {}

  Index weight_bytes() const override { return model_.weight_bytes(); }
  std::unique_ptr<model::Workspace> make_workspace(Index capacity, Stream stream, Phase phase) const override {
    return model_.make_workspace(capacity, stream, phase);
  }
  void take_in(model::Workspace& ws, std::span<const TokenId> ids, std::span<const kernels::Segment> segments) const override {
    nothing_.assign(segments.size(), nullptr);
    model_.take_in(ws, ids, segments);
  }
  void embed_block(model::Workspace& ws) const override { model_.embed_block(ws); }
  void mix_time(model::Workspace& ws, Index layer, In rows, Out next) const override {
    model_.mix_time(ws, layer, lost(Loss::time_row, layer) ? nothing_.data() : rows, next);
  }
  void project(model::Workspace& ws, Index layer) const override { model_.project(ws, layer); }
  void pass_state(model::Workspace& ws, Index layer, Index first, Index parts, In state, Out next) const override {
    if (loss_ == Loss::other_layer && layer == 0) kept_ = state[0];
    const float* swapped = kept_;
    const bool swap = loss_ == Loss::other_layer && layer == 1 && kept_ && first == 0;
    model_.pass_state(ws, layer, first, parts, swap ? &swapped : lost(Loss::state, layer) ? nothing_.data() : state, next);
  }
  void read_out(model::Workspace& ws, Index layer) const override { model_.read_out(ws, layer); }
  void mix_channel(model::Workspace& ws, Index layer, In rows, Out next) const override {
    model_.mix_channel(ws, layer, lost(Loss::channel_row, layer) ? nothing_.data() : rows, next);
  }
  void feed_forward(model::Workspace& ws, Index layer) const override { model_.feed_forward(ws, layer); }
  void first_layer_row(model::Workspace& ws, TokenId id, float* row) const override { model_.first_layer_row(ws, id, row); }
  void residual(model::Workspace& ws, Index first, Index rows, float* out) const override { model_.residual(ws, first, rows, out); }
  void hidden(model::Workspace& ws, Index first, Index rows, float* out) const override { model_.hidden(ws, first, rows, out); }
  void logits(model::Workspace& ws, Index first, Index rows, float* out) const override { model_.logits(ws, first, rows, out); }
  void pick_largest(model::Workspace& ws, const kernels::PickLargestArgs& args) const override { model_.pick_largest(ws, args); }
  void draw(model::Workspace& ws, const kernels::DrawArgs& args) const override { model_.draw(ws, args); }
  void log_probs(model::Workspace& ws, Index first, std::span<const TokenId> targets, float* out) const override {
    model_.log_probs(ws, first, targets, out);
  }

 private:
  bool lost(Loss what, Index layer) const { return loss_ == what && layer == layer_; }
  const model::Model& model_;
  Loss loss_;
  Index layer_;
  mutable std::vector<const float*> nothing_;
  mutable const float* kept_ = nullptr;
};

class MutationTest : public testing::TestWithParam<const char*> {
 protected:
  const kernels::KernelTable& kernels_ = kernels::find_backend("auto");
  std::unique_ptr<model::Model> model_;
  const test::Corpus corpus_{test::random_tokens(640, 3)};

  void SetUp() override {
    model_ = test::make_small_model(kernels_, "fp32", test::small_shape(GetParam()));
  }

  void expect_noticed(Loss loss, Index layer) {
    test::RingRun run;
    run.request.scores = run.request.embedding = true;
    run.request.pool = ring::Pool::last;
    const auto right = run_corpus(corpus_, *model_, kernels_, run)[0];
    const auto wrong = run_corpus(corpus_, ForgetfulModel(*model_, loss, layer), kernels_, run)[0];
    EXPECT_TRUE(std::equal(right.scores.begin() + 1, right.scores.begin() + 64, wrong.scores.begin() + 1)) << "the first block has nothing to lose";
    // Nothing after its own token reads the last layer's channel-mix row; all else lasts to the end.
    const bool lasts = !(loss == Loss::channel_row && layer == 2);
    EXPECT_NE(test::same_bits(right.embedding, wrong.embedding), lasts) << "layer " << layer;
    // The first row of every block reads what was handed over, even when no later one does.
    for (std::size_t t = 65; t < right.scores.size(); t += 64) {
      EXPECT_NE(right.scores[t], wrong.scores[t]) << "layer " << layer << ", token " << t;
    }
  }
};

TEST_P(MutationTest, ALostStateIsNoticed) { for (Index layer = 0; layer < 3; ++layer) expect_noticed(Loss::state, layer); }
TEST_P(MutationTest, ALostTimeMixRowIsNoticed) { for (Index layer = 0; layer < 3; ++layer) expect_noticed(Loss::time_row, layer); }
TEST_P(MutationTest, ALostChannelMixRowIsNoticed) { for (Index layer = 0; layer < 3; ++layer) expect_noticed(Loss::channel_row, layer); }
TEST_P(MutationTest, TheStateOfAnotherLayerIsNoticed) { expect_noticed(Loss::other_layer, 1); }

INSTANTIATE_TEST_SUITE_P(All, MutationTest,
                         testing::Values("rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"), [](const auto& test) {
                           std::string name = test.param;
                           std::ranges::replace(name, '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace riverrun
