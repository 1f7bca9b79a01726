// JSON from outside: of bounded size and depth, and no key twice, of which a parser would keep the last in
// silence.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

namespace riverrun::checkpoint {

// `what` begins every message: "model.safetensors: its header". InputError when the text is larger than 32
// MB, is no JSON object, is nested deeper than `max_depth`, or has a key twice.
nlohmann::json parse_json(const std::string& what, std::span<const std::byte> text, int max_depth);

}  // namespace riverrun::checkpoint
