#include "checkpoint/bounded_json.h"

#include <set>
#include <vector>

#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxSize = std::size_t{32} << 20;  // 61 layers of weights need 0.3 MB

}  // namespace

json parse_json(const std::string& what, std::span<const std::byte> text, int max_depth) {
  RR_CHECK_INPUT(text.size() <= kMaxSize, what, " has ", text.size(), " bytes, more than ", kMaxSize);
  std::vector<std::set<std::string>> keys(static_cast<std::size_t>(max_depth) +
                                          2);  // of the objects open now
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    RR_CHECK_INPUT(depth <= max_depth, what, " is nested too deeply");
    const auto at = static_cast<std::size_t>(depth);
    if (event == json::parse_event_t::object_start) keys[at + 1].clear();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      RR_CHECK_INPUT(keys[at].insert(key).second, what, " holds ", key.substr(0, 200), " twice");
    }
    return true;
  };
  try {
    const auto* const begin = reinterpret_cast<const char*>(text.data());
    json value = json::parse(begin, begin + text.size(), check);
    RR_CHECK_INPUT(value.is_object(), what, " is no JSON object");
    return value;
  } catch (const json::exception& error) {
    const std::string reason = error.what();  // may quote the whole text
    throw InputError(concat(what, " is not valid JSON: ", reason.substr(0, 200)));
  }
}

}  // namespace riverrun::checkpoint
