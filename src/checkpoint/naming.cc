#include "checkpoint/naming.h"

#include <algorithm>
#include <optional>

#include "checkpoint/ggml_blocks.h"
#include "checkpoint/layout.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

// A file follows at most one of them.
constexpr const Scheme* kSchemes[] = {
    &kOfficialNames,          &kTransformersRwkv7, &kFlaRwkv7,      &kRwkvRsRwkv7, &kWorldHfRwkv7,
    &kTransformersRwkv,       &kWebRwkv5,          &kWebRwkv6,      &kWebRwkv7,    &kFlaRwkv6,
    &kFusedTransformersRwkv7, &kGgufRwkv6Names,    &kGgufRwkv7Names};

// What trainers put before every name.
constexpr std::string_view kPrefixes[] = {"_orig_mod.", "module.", "model."};

// What '#' and the "{a|b}" of a pattern stand for in a name.
struct Match {
  std::string_view block;
  std::vector<std::string_view> words;
};

std::vector<std::string_view> split_words(std::string_view choice) {
  std::vector<std::string_view> words;
  for (;;) {
    const auto bar = choice.find('|');
    words.push_back(choice.substr(0, bar));
    if (bar == std::string_view::npos) return words;
    choice.remove_prefix(bar + 1);
  }
}

// Digits as a number is written: "0", "12", not "012". As many as any model has.
std::size_t count_digits(std::string_view text) {
  constexpr std::size_t kMost = 6;
  const auto end = std::min(text.find_first_not_of("0123456789"), text.size());
  return end == 0 || end > kMost || (end > 1 && text[0] == '0') ? 0 : end;
}

// Patterns are our own: they recurse once per "{a|b}", of which none has more than three.
bool fits(std::string_view pattern, std::string_view name, Match& match) {
  while (!pattern.empty()) {
    if (pattern[0] == '{') {
      const auto end = pattern.find('}');
      for (const std::string_view word : split_words(pattern.substr(1, end - 1))) {
        if (!name.starts_with(word)) continue;
        match.words.push_back(word);
        if (fits(pattern.substr(end + 1), name.substr(word.size()), match)) return true;
        match.words.pop_back();
      }
      return false;
    }
    std::size_t length = 1;
    if (pattern[0] == '#') {
      length = count_digits(name);
      match.block = name.substr(0, length);
      if (length == 0) return false;
    } else if (name.empty() || name[0] != pattern[0]) {
      return false;
    }
    pattern.remove_prefix(1);
    name.remove_prefix(length);
  }
  return name.empty();
}

std::optional<Match> match_name(std::string_view pattern, std::string_view name) {
  Match match;
  return fits(pattern, name, match) ? std::optional(match) : std::nullopt;
}

// `to` with its '#' and "{}" filled in; `part` for a "{a|b}".
std::string fill_in(std::string_view to, const Match& match, std::string_view part = {}) {
  std::string name;
  std::size_t word = 0;
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == '#') {
      name += match.block;
    } else if (to[i] == '{') {
      const auto end = to.find('}', i);
      name += end == i + 1 ? match.words.at(word++) : part;
      i = end;
    } else {
      name += to[i];
    }
  }
  return name;
}

// The names of the slices of a stacked tensor.
std::vector<std::string_view> parts_of(std::string_view to) {
  const auto begin = to.find('{'), end = to.find('}');
  return split_words(to.substr(begin + 1, end - begin - 1));
}

class Renaming {
 public:
  Renaming(const Contents& file, const Scheme& scheme) : file_(file), scheme_(scheme) {}

  std::map<std::string, Tensor> run() {
    for (const auto& [name, tensor] : file_.tensors) {
      if (!apply(name, tensor)) unknown_.push_back(name);
    }
    if (!unknown_.empty()) refuse_unknown();
    return std::move(official_);
  }

 private:
  bool apply(const std::string& name, const Tensor& tensor) {
    for (const Scheme* scheme = &scheme_; scheme; scheme = scheme->beyond) {
      for (const Rule& rule : scheme->rules) {
        if (const auto match = match_name(rule.from, name)) {
          make(rule, *match, name, tensor);
          return true;
        }
      }
    }
    return false;
  }

  void make(const Rule& rule, const Match& match, const std::string& name, Tensor tensor) {
    const std::string where = concat(file_.path, ": tensor ", name, " (", scheme_.name, " names)");
    const std::size_t rank = tensor.shape.size();
    switch (rule.change) {
      case Change::dropped:
        return;
      case Change::none:
        break;
      case Change::transposed:
        RR_CHECK_INPUT(rank >= 2, where, " has shape ", shape_text(tensor.shape), ", expected a matrix");
        std::swap(tensor.shape[rank - 1], tensor.shape[rank - 2]);
        std::swap(tensor.strides[rank - 1], tensor.strides[rank - 2]);
        break;
      case Change::stacked:
        return unstack(rule, match, where, tensor);
    }
    add(rule.to == "=" ? name : fill_in(rule.to, match), std::move(tensor));
  }

  void unstack(const Rule& rule, const Match& match, const std::string& where, const Tensor& tensor) {
    const auto parts = parts_of(rule.to);
    RR_CHECK_INPUT(!tensor.shape.empty() && tensor.shape[0] == static_cast<Index>(parts.size()), where,
                   " has shape ", shape_text(tensor.shape), ", expected ", parts.size(), " parts");
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Tensor part = tensor;
      part.shape.erase(part.shape.begin());
      part.strides.erase(part.strides.begin());
      if (tensor.size() > 0) advance(part, static_cast<Index>(i) * tensor.strides[0]);
      add(fill_in(rule.to, match, parts[i]), std::move(part));
    }
  }

  void add(std::string name, Tensor tensor) {
    tensor.name = name;
    RR_CHECK_INPUT(official_.emplace(name, std::move(tensor)).second, file_.path, " holds ", name,
                   " twice, under two of its ", scheme_.name, " names");
  }

  [[noreturn]] void refuse_unknown() const {
    constexpr std::size_t kShown = 8;
    std::string list;
    for (std::size_t i = 0; i < std::min(unknown_.size(), kShown); ++i) list += (i ? ", " : "") + unknown_[i];
    if (unknown_.size() > kShown) list += concat(" and ", unknown_.size() - kShown, " more");
    throw InputError(concat(file_.path, " has ", scheme_.name, " names, but also ", unknown_.size(),
                            unknown_.size() == 1 ? " tensor" : " tensors",
                            " that no RWKV model under such names has: ", list));
  }

  const Contents& file_;
  const Scheme& scheme_;
  std::map<std::string, Tensor> official_;
  std::vector<std::string> unknown_;
};

const Scheme* find_scheme(const Contents& file) {
  const Scheme* found = nullptr;
  for (const Scheme* const scheme : kSchemes) {
    if (!scheme->recognises(file)) continue;
    RR_CHECK_INPUT(!found, file.path, " has tensors under both ", found->name, " and ", scheme->name,
                   " names; which of them are meant cannot be told");
    found = scheme;
  }
  return found;
}

// Takes off the prefixes that every name has; gives what was taken off.
std::string strip_prefix(Contents& file) {
  constexpr std::size_t kMost = 32;  // of characters: deeper wrapping is no accident
  std::string stripped;
  while (stripped.size() < kMost) {
    const auto has_all = [&](std::string_view prefix) {
      return std::all_of(file.tensors.begin(), file.tensors.end(),
                         [&](const auto& entry) { return entry.first.starts_with(prefix); });
    };
    const auto* const prefix = std::find_if(std::begin(kPrefixes), std::end(kPrefixes), has_all);
    if (prefix == std::end(kPrefixes)) break;
    std::map<std::string, Tensor> tensors;
    for (auto& [name, tensor] : file.tensors) {
      tensor.name = name.substr(prefix->size());
      tensors.emplace(tensor.name, std::move(tensor));
    }
    file.tensors = std::move(tensors);
    stripped += *prefix;
  }
  return stripped;
}

}  // namespace

const Tensor* find_name(const Contents& file, std::string_view pattern) {
  for (const auto& [name, tensor] : file.tensors) {
    if (match_name(pattern, name)) return &tensor;
  }
  return nullptr;
}

bool has_name(const Contents& file, std::string_view pattern) { return find_name(file, pattern) != nullptr; }

std::unique_ptr<Checkpoint> name_tensors(Contents file) {
  const Scheme* scheme = find_scheme(file);
  std::string prefix;
  if (!scheme) {
    Contents inner = file;
    prefix = strip_prefix(inner);
    if (!prefix.empty() && kOfficialNames.recognises(inner)) {
      file = std::move(inner);
      scheme = &kOfficialNames;
    }
  }
  Extras extras = file.extras;
  std::map<std::string, Tensor> tensors;
  if (!scheme) {
    extras.naming = "unknown";
    tensors = std::move(file.tensors);
  } else {
    RR_CHECK_INPUT(!scheme->refusal, file.path, " has ", scheme->name, " names: ", scheme->refusal);
    extras.naming = scheme->name + (prefix.empty() ? "" : " under " + prefix);
    tensors = Renaming(file, *scheme).run();
    if (scheme->finish) scheme->finish(file, tensors, extras);
  }
  return std::make_unique<Checkpoint>(std::move(file.path), std::move(file.container), std::move(file.files),
                                      std::move(tensors), std::move(extras));
}

}  // namespace riverrun::checkpoint
