// Naming schemes: a file that follows none, two, or one in part, and what the tables say of single tensors.
#include "checkpoint/naming.h"

#include "support.h"

namespace riverrun::checkpoint {
namespace {

// A file whose tensors are f32 and count 0, 1, 2, ... in their own row-major order.
class Named {
 public:
  explicit Named(const std::map<std::string, std::vector<Index>>& shapes) : file_(numbers()) {
    const auto mapped = std::make_shared<const MappedFile>(file_.path());
    contents_ = {file_.path(), "test", {mapped}, {}, {}, {}};
    for (const auto& [name, shape] : shapes) {
      contents_.tensors[name] = {name, DType::f32, shape, strides_of(shape), mapped->bytes().data()};
    }
  }
  Facts& facts() { return contents_.facts; }
  std::unique_ptr<Checkpoint> open() const { return name_tensors(contents_); }
  std::string refusal() const {
    try {
      return "accepted as " + open()->extras().naming;
    } catch (const InputError& error) {
      return error.what();
    }
  }

 private:
  static std::string numbers() {
    std::vector<float> values;
    for (int i = 0; i < 4096; ++i) values.push_back(static_cast<float>(i));
    return le_all(values);
  }
  static std::vector<Index> strides_of(const std::vector<Index>& shape) {
    std::vector<Index> strides(shape.size(), 1);
    for (std::size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
    return strides;
  }

  TemporaryFile file_;
  Contents contents_;
};

void expect_words(const std::string& message, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << word << ": " << message;
}

TEST(Naming, NamesOfNoSchemeStay) {
  const auto file = Named({{"weight", {2}}, {"layers.0.bias", {2}}}).open();
  EXPECT_EQ(file->extras().naming, "unknown");
  EXPECT_TRUE(file->find("weight") && file->find("layers.0.bias"));
}

TEST(Naming, EveryOfficialNameIsKnown) {
  for (const char* const name :
       {"emb.weight", "blocks.0.ln0.bias", "blocks.60.ln1.weight", "blocks.0.att.time_first",
        "blocks.3.att.time_mix_g", "blocks.3.ffn.time_mix_r", "blocks.3.att.time_maa_w2",
        "blocks.3.att.time_decay_w1", "blocks.0.att.v0", "blocks.0.att.v1", "blocks.3.att.g2",
        "blocks.3.att.r_k", "blocks.3.ffn.x_k", "blocks.3.ffn.s_emb.weight", "blocks.3.ffn.s0",
        "blocks.0.qkv.qq.weight", "blocks.0.qkv.lnq.weight", "blocks.3.att.time_state"}) {
    EXPECT_EQ(Named({{name, {2, 2}}}).open()->extras().naming, "official") << name;
  }
}

TEST(Naming, TensorsThatNoSchemeKnowsAreListed) {
  const Named odd({{"emb.weight", {4, 2}}, {"blocks.0.att.x_z", {2}}, {"adapter.weight", {2}}});
  expect_words(odd.refusal(), {"official names", "2 tensors", "adapter.weight", "blocks.0.att.x_z"});
  for (const char* const name :
       {"blocks.00.ln1.weight", "blocks..ln1.weight", "blocks.1234567.ln1.weight", "blocks.-1.ln1.weight",
        "blocks.0.ln1.weight ", "blocks.1.ln0.weight", "emb.weight.x"}) {
    expect_words(Named({{"emb.weight", {4, 2}}, {name, {2}}}).refusal(), {"1 tensor ", name});
  }
  std::map<std::string, std::vector<Index>> many{{"model.layers.0.attn.k_k", {2}}};
  for (int i = 0; i < 30; ++i) many[concat("extra.", i)] = {2};
  expect_words(Named(many).refusal(), {"fla RWKV-7 names", "30 tensors", "and 22 more"});
}

TEST(Naming, TwoNamingsInOneFileAreRefused) {
  expect_words(Named({{"emb.weight", {4, 2}}, {"rwkv7.blocks.0.att.k_k", {2}}}).refusal(),
               {"both official and transformers RWKV-7"});
}

TEST(Naming, OneTensorUnderTwoNamesIsRefused) {
  expect_words(Named({{"model.layers.0.attn.x_x", {6, 2}},
                      {"model.layers.0.attn.x_r", {2}},
                      {"model.layers.0.attn.k_k", {2}}})
                   .refusal(),
               {"holds blocks.0.att.x_r twice"});
}

TEST(Naming, APrefixOfEveryNameIsTakenOff) {
  for (const char* const prefix : {"_orig_mod.", "module.", "model.", "module._orig_mod."}) {
    const std::string p = prefix;
    const auto file = Named({{p + "emb.weight", {4, 2}}, {p + "blocks.0.ln1.bias", {2}}}).open();
    EXPECT_EQ(file->extras().naming, "official under " + p);
    EXPECT_TRUE(file->find("emb.weight") && file->find("blocks.0.ln1.bias"));
  }
  expect_words(Named({{"_orig_mod.emb.weight", {4, 2}}, {"blocks.0.ln1.bias", {2}}}).refusal(),
               {"1 tensor ", "_orig_mod.emb.weight"});
  EXPECT_EQ(Named({{"other.emb.weight", {4, 2}}}).open()->extras().naming, "unknown");
  EXPECT_EQ(Named({{"model.lm.weight", {4, 2}}}).open()->find("model.lm.weight")->name, "model.lm.weight");
}

// T4: r, w, k, v, a, g.
TEST(Naming, StackedMixesComeApartInOrder) {
  const auto file = Named({{"model.layers.3.attn.x_x", {6, 1, 2}}, {"model.layers.3.attn.k_k", {2}}}).open();
  float first = 0;
  for (const char letter : std::string("rwkvag")) {
    EXPECT_EQ(floats(file->require(concat("blocks.3.att.x_", letter), {2})),
              (std::vector<float>{first, first + 1}));
    first += 2;
  }
  expect_words(Named({{"model.layers.3.attn.x_x", {5, 2}}, {"model.layers.3.attn.k_k", {2}}}).refusal(),
               {"x_x", "[5, 2]", "expected 6 parts"});
}

// T18: transposed in fla, not in the conversions that look like it.
TEST(Naming, LoraMatricesAreTurnedWhereTheyAreTransposed) {
  const auto fla = Named({{"model.layers.0.attn.w_lora.lora.0.weight", {2, 3}},
                          {"model.layers.0.attn.g_lora.lora.2.weight", {3, 2}},
                          {"model.layers.0.attn.w_lora.lora.2.bias", {3}},
                          {"model.layers.0.attn.k_k", {3}}})
                       .open();
  EXPECT_EQ(floats(fla->require("blocks.0.att.w1", {3, 2})), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(floats(fla->require("blocks.0.att.g2", {2, 3})), (std::vector<float>{0, 2, 4, 1, 3, 5}));
  EXPECT_EQ(floats(fla->require("blocks.0.att.w0", {3})), (std::vector<float>{0, 1, 2}));
  const auto rs = Named({{"model.layers.0.linear_attn.w1", {3, 2}},
                         {"model.layers.0.linear_attn.k_k", {3}},
                         {"model.embedding_norm.weight", {3}}})
                      .open();
  EXPECT_EQ(floats(rs->require("blocks.0.att.w1", {3, 2})), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  expect_words(
      Named({{"model.layers.0.attn.w_lora.lora.0.weight", {2}}, {"model.layers.0.attn.k_k", {2}}}).refusal(),
      {"w_lora.lora.0.weight", "[2]", "expected a matrix"});
}

// T25.
TEST(Naming, FilesThatDisagreeAboutTheFirstNormAreRefused) {
  Named fused({{"model.embedding_norm.weight", {3}}, {"model.layers.0.linear_attn.k_k", {3}}});
  fused.facts().embedding_normalized = true;
  expect_words(fused.refusal(), {"embedding_layer_norm_fused is true", "is there"});
  Named bare({{"model.layers.0.linear_attn.k_k", {3}}});
  EXPECT_TRUE(bare.open()->extras().embedding_normalized);
  bare.facts().embedding_normalized = false;
  expect_words(bare.refusal(), {"embedding_layer_norm_fused is false", "is missing"});
}

// web-rwkv calls time_faaaa time_first, which is used as it is; the one of official 5.0 is an exponent.
TEST(Naming, TimeFirstOfWebRwkvIsTimeFaaaa) {
  std::map<std::string, std::vector<Index>> shapes{
      {"emb.weight", {4, 6}}, {"blocks.0.att.time_first", {2, 3}}, {"blocks.0.att.ln_x.weight", {6}}};
  EXPECT_EQ(Named(shapes).open()->extras().naming, "official");  // no gate: 5.0
  shapes["blocks.0.att.gate.weight"] = {6, 6};
  const auto web = Named(shapes).open();
  EXPECT_EQ(web->extras().naming, "web-rwkv RWKV-5");
  EXPECT_TRUE(web->find("blocks.0.att.time_faaaa"));
  EXPECT_FALSE(web->find("blocks.0.att.time_first"));
}

TEST(Naming, KnownConversionsThatCannotBeUsedSayWhy) {
  expect_words(
      Named({{"model.layers.0.attn.x_proj.0.linear.weight", {3, 3}}, {"lm_head.weight", {4, 3}}}).refusal(),
      {"fla RWKV-6", "official .pth"});
  expect_words(Named({{"rwkv7.embeddings.weight", {4, 3}}, {"rwkv7.blocks.0.att.k_k", {3}}}).refusal(),
               {"early rwkv-rs", "fp16"});
}

}  // namespace
}  // namespace riverrun::checkpoint
