// tokenizer.json files that are not of the GPT-NeoX kind, or damaged: refused, by the name of what is wrong.
#include "text/neox_file.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "tests/text/support.h"

namespace riverrun::text {
namespace {

using Json = nlohmann::json;

std::string small_file() { return read_file(RIVERRUN_TEST_DATA "/neox/tokenizer.json"); }

std::string refusal(const std::string& file) {
  return message_of<InputError>([&] { make_neox_tokenizer(file, "the.json"); });
}

struct Case {
  std::function<void(Json&)> change;
  std::vector<std::string> words;  // that the message must have
};

TEST(NeoxFile, RefusesOtherKindsByName) {
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", "\\s+"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json adds_start = {{"type", "TemplateProcessing"}, {"single", Json::array()}};
  const std::vector<Case> cases = {
      {[](Json& j) { j["normalizer"]["type"] = "NFKC"; }, {"normalizer", "NFKC"}},
      {[](Json& j) { j["normalizer"] = nullptr; }, {"normalizer"}},
      {[](Json& j) { j.erase("normalizer"); }, {"normalizer"}},
      {[](Json& j) {
         j["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
       },
       {"Sequence"}},
      {[&](Json& j) { j["pre_tokenizer"] = split; }, {"pre_tokenizer", "Split"}},
      {[](Json& j) { j["pre_tokenizer"]["add_prefix_space"] = true; }, {"add_prefix_space"}},
      {[](Json& j) { j["pre_tokenizer"].erase("add_prefix_space"); }, {"add_prefix_space"}},
      {[](Json& j) { j["pre_tokenizer"]["use_regex"] = false; }, {"use_regex"}},
      {[](Json& j) { j["pre_tokenizer"]["pattern"] = "x"; }, {"pattern"}},
      {[&](Json& j) { j["post_processor"] = adds_start; }, {"post_processor", "TemplateProcessing"}},
      {[](Json& j) { j["decoder"]["type"] = "Metaspace"; }, {"decoder", "Metaspace"}},
      {[](Json& j) {
         j["truncation"] = {{"max_length", 5}};
       },
       {"truncation"}},
      {[](Json& j) { j["padding"] = Json::object(); }, {"padding"}},
      {[](Json& j) { j["extra"] = 1; }, {"extra"}},
      {[](Json& j) { j["model"]["type"] = "WordPiece"; }, {"model", "WordPiece"}},
      {[](Json& j) { j["model"].erase("type"); }, {"model"}},
      {[](Json& j) { j["model"]["dropout"] = 0.1; }, {"dropout"}},
      {[](Json& j) { j["model"]["unk_token"] = "<unk>"; }, {"unk_token"}},
      {[](Json& j) { j["model"]["byte_fallback"] = true; }, {"byte_fallback"}},
      {[](Json& j) { j["model"]["ignore_merges"] = true; }, {"ignore_merges"}},
      {[](Json& j) { j["model"]["fuse_unk"] = 1; }, {"fuse_unk"}},
      {[](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; }, {"continuing_subword_prefix"}},
      {[](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }, {"end_of_word_suffix"}},
      {[](Json& j) { j["model"]["new_option"] = true; }, {"new_option"}},
      {[](Json& j) { j["added_tokens"][0]["lstrip"] = true; }, {"<|endoftext|>", "lstrip"}},
      {[](Json& j) { j["added_tokens"][0]["single_word"] = true; }, {"single_word"}},
  };
  for (const Case& one : cases) {
    Json json = Json::parse(small_file());
    one.change(json);
    const std::string message = refusal(json.dump());
    EXPECT_CONTAINS(message, "the.json");
    for (const std::string& word : one.words) EXPECT_CONTAINS(message, word);
  }
}

TEST(NeoxFile, RefusesWhatDoesNotHoldTogether) {
  const auto& merges = [](Json& j) -> Json& { return j["model"]["merges"]; };
  const std::vector<Case> cases = {
      {[](Json& j) { j["model"]["vocab"]["new"] = 5000; }, {"\"new\"", "5000", "gaps"}},
      {[](Json& j) { j["model"]["vocab"]["new"] = 50; }, {"50", "twice"}},
      {[](Json& j) { j["model"]["vocab"]["new"] = -3; }, {"\"new\"", "-3"}},
      {[](Json& j) { j["model"]["vocab"]["new"] = "9"; }, {"\"new\"", "integer"}},
      {[](Json& j) { j["model"]["vocab"]["a b"] = 723; }, {"a b", "byte alphabet"}},
      {[](Json& j) { j["model"]["vocab"][""] = 723; }, {"empty"}},
      {[](Json& j) {
         j["model"]["vocab"].erase("!");
         j["added_tokens"][24]["id"] = 2;
       },
       {"byte 33"}},
      {[&](Json& j) { merges(j).push_back("q zzz"); }, {"q zzz", "no token"}},
      {[&](Json& j) { merges(j).push_back("t  h"); }, {"t  h"}},
      {[&](Json& j) { merges(j).push_back(merges(j)[0]); }, {"twice"}},
      {[&](Json& j) {
         merges(j).push_back({"a", "b", "c"});
       },
       {"3 parts"}},
      {[&](Json& j) { merges(j).push_back(7); }, {"merge"}},
      {[](Json& j) { j["added_tokens"][0]["id"] = 5; }, {"<|endoftext|>", "5"}},
      {[](Json& j) { j["added_tokens"][1]["content"] = "<|endoftext|>"; }, {"<|endoftext|>"}},
      {[](Json& j) { j["added_tokens"][3]["content"] = 5; }, {"content"}},
      {[](Json& j) { j["model"]["vocab"] = Json::array(); }, {"vocab"}},
      {[](Json& j) { j.erase("added_tokens"); }, {"added_tokens"}},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Json json = Json::parse(small_file());
    cases[i].change(json);
    const std::string message = refusal(json.dump());
    for (const std::string& word : cases[i].words) EXPECT_CONTAINS(message, word) << " case " << i;
  }
  EXPECT_CONTAINS(refusal("{\"model\": "), "JSON");
  EXPECT_CONTAINS(refusal("[1]"), "object");
  EXPECT_CONTAINS(refusal(std::string(100000, '[')), "JSON");
}

TEST(NeoxFile, ReadsBothWaysToWriteAMerge) {
  Json json = Json::parse(small_file());
  for (Json& merge : json["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  const auto one = make_neox_tokenizer(small_file(), "a"), other = make_neox_tokenizer(json.dump(), "b");
  std::vector<TokenId> ids, same;
  one->encode("And the earth was without form, and void", ids);
  other->encode("And the earth was without form, and void", same);
  EXPECT_EQ(ids, same);
  EXPECT_LT(ids.size(), 30u);
}

TEST(NeoxFile, TellsTheKindOfModel) {
  EXPECT_EQ(tokenizer_json_model(small_file(), "f"), "BPE");
  EXPECT_EQ(tokenizer_json_model(R"({"model": {"type": "RwkvTrie"}})", "f"), "RwkvTrie");
  EXPECT_EQ(tokenizer_json_model(R"({"model": {}})", "f"), "");
  EXPECT_EQ(tokenizer_json_model("{}", "f"), "");
}

TEST(NeoxFile, SurvivesDamage) {
  const auto encode_with = [](const auto& file) { return encode(*make_neox_tokenizer(file, "f"), "And the earth"); };
  EXPECT_GT(refused_of_300_damaged(small_file(), 3, 6, encode_with), 200);
}

}  // namespace
}  // namespace riverrun::text
