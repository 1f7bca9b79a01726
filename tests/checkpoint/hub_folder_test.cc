// Folders and indexes: which file is meant, and what an index may not say.
#include "support.h"

namespace riverrun::checkpoint {
namespace {

// A folder for the length of a test.
class Folder {
 public:
  Folder& write(const std::string& name, const std::string& content) {
    folder_.file(name, content);
    return *this;
  }
  std::string path(const std::string& name = "") const { return name.empty() ? folder_.path() : folder_.path(name); }

  // Opening must fail with an InputError that has all these words.
  void expect_refused(const std::vector<std::string>& words, const std::string& name = "") const {
    try {
      open_checkpoint(path(name));
      ADD_FAILURE() << "was accepted; expected a message about " << words.front();
    } catch (const InputError& error) {
      for (const std::string& word : words) {
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << word << ": " << error.what();
      }
    }
  }

 private:
  test::TemporaryFolder folder_;
};

std::string shard(const std::vector<std::string>& names) {
  std::string header = "{";
  for (std::size_t i = 0; i < names.size(); ++i) {
    header += concat(i ? "," : "", "\"", names[i], R"(":{"dtype":"F32","shape":[1],"data_offsets":[)", 4 * i,
                     ",", 4 * i + 4, "]}");
  }
  header += "}";
  return le<std::uint64_t>(header.size()) + header + std::string(4 * names.size(), '\1');
}

std::string index(const std::string& map) {
  return R"({"metadata":{"total_size":8},"weight_map":{)" + map + "}}";
}

constexpr const char* kIndex = "model.safetensors.index.json";

TEST(HubFolder, ShardsAreOneModel) {
  Folder folder;
  folder.write("a.safetensors", shard({"emb.weight"})).write("b.safetensors", shard({"head.weight"}));
  folder.write(kIndex, index(R"("emb.weight":"a.safetensors","head.weight":"b.safetensors")"));
  folder.write("config.json", R"({"embedding_layer_norm_fused":null})")
      .write(".cache", "x")
      .write("README.md", "x");
  for (const char* const name : {"", kIndex}) {
    const auto model = open_checkpoint(folder.path(name));
    EXPECT_EQ(model->tensors().size(), 2u);
    EXPECT_EQ(model->container(), "safetensors, 2 files");
    EXPECT_EQ(model->path(), folder.path(name));
  }
}

TEST(HubFolder, FoldersWithoutOneModelAreRefused) {
  Folder folder;
  folder.expect_refused({folder.path(), "without a weight file"});
  folder.write("config.json", "{}").expect_refused({"without a weight file"});
  folder.write("model.safetensors", shard({"emb.weight"}));
  EXPECT_EQ(open_checkpoint(folder.path())->file_paths(), std::vector{folder.path("model.safetensors")});
  folder.write("b.pth", "x").write("c.gguf", "x");
  folder.expect_refused({"several weight files: b.pth, c.gguf, model.safetensors"});
}

TEST(HubFolder, MissingShardsAreNamed) {
  Folder folder;
  folder.write("a.safetensors", shard({"emb.weight"}));
  folder.write(kIndex, index(R"("emb.weight":"a.safetensors","x":"b.safetensors","y":"c.safetensors")"));
  folder.expect_refused({kIndex, "of its 3 files are missing", "b.safetensors, c.safetensors"});
}

TEST(HubFolder, IndexAndShardsMustAgree) {
  Folder folder;
  folder.write("a.safetensors", shard({"emb.weight", "head.weight"}))
      .write("b.safetensors", shard({"ln_out.bias"}));
  const auto refused = [&](const std::string& map, const std::vector<std::string>& words) {
    folder.write(kIndex, index(map)).expect_refused(words);
  };
  const std::string a = R"("emb.weight":"a.safetensors","head.weight":"a.safetensors",)";
  refused(a + R"("ln_out.bias":"b.safetensors","x":"b.safetensors")",
          {"places x in b.safetensors", "does not hold"});
  refused(R"("emb.weight":"a.safetensors","ln_out.bias":"b.safetensors")",
          {"a.safetensors holds head.weight", "not list"});
  refused(R"("emb.weight":"a.safetensors","head.weight":"b.safetensors","ln_out.bias":"b.safetensors")",
          {"a.safetensors holds head.weight", "places in b.safetensors"});
}

TEST(HubFolder, IndexesNameOnlyFilesBesideThem) {
  Folder folder;
  for (const char* const name : {"../a.safetensors", "/etc/passwd", "x/a.safetensors", "..", ".", "",
                                 ".hidden", "a\\\\b", "a\\u0000b"}) {
    folder.write(kIndex, index(concat(R"("emb.weight":")", name, "\"")));
    folder.expect_refused({kIndex, "no plain name"});
  }
}

TEST(HubFolder, AShardMayNotBeAnIndex) {
  Folder folder;
  folder.write(kIndex, index(concat(R"("emb.weight":")", kIndex, "\"")));
  folder.expect_refused({kIndex, "is an index"}, kIndex);
}

TEST(HubFolder, WrongJsonIsRefused) {
  Folder folder;
  const auto refused = [&](const std::string& text, const std::vector<std::string>& words) {
    folder.write(kIndex, text).expect_refused(words, kIndex);
  };
  refused("{}", {"without a weight_map"});
  refused(R"({"weight_map":{}})", {"without a weight_map"});
  refused(R"({"weight_map":[]})", {"without a weight_map"});
  refused(R"({"weight_map":{"a":1}})", {"no file name for a"});
  refused(R"({"weight_map":{"a":"x","a":"y"}})", {"holds a twice"});
  refused(R"({"weight_map":{"a":"x"})", {"not valid JSON"});
  refused(R"({"weight_map":{{{{{{)", {"not valid JSON"});
  refused("{\"a\":" + std::string(100000, '['), {"nested too deeply"});
  folder.write(kIndex, index(R"("emb.weight":"a.safetensors")"))
      .write("a.safetensors", shard({"emb.weight"}));
  folder.write("config.json", R"({"embedding_layer_norm_fused":1})")
      .expect_refused({"config.json", "neither true nor false"});
  folder.write("config.json", "[1]").expect_refused({"config.json", "no JSON object"});
}

// Every truncation and many flips of an index, its shards beside it.
TEST(HubFolder, DamagedIndexesNeverCrash) {
  Folder folder;
  folder.write("a.safetensors", shard({"emb.weight"})).write("b.safetensors", shard({"head.weight"}));
  const std::string whole = index(R"("emb.weight":"a.safetensors","head.weight":"b.safetensors")");
  const auto accepts = [&](const std::string& text) {
    folder.write(kIndex, text);
    try {
      open_checkpoint(folder.path());
      return true;
    } catch (const InputError&) {
      return false;
    }
  };
  ASSERT_TRUE(accepts(whole));
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(accepts(whole.substr(0, size))) << size;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char wrong : {'\0', '"', '{', '[', '/', '\x7f', '\xff'}) {
      std::string damaged = whole;
      damaged[at] = wrong;
      accepts(damaged);
    }
  }
}

}  // namespace
}  // namespace riverrun::checkpoint
