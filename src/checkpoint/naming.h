// Naming schemes: from the names that a file has for its tensors to the official ones.
//
// A scheme is a table of rules, one per kind of tensor. Which scheme a file follows is decided from all its
// names (and shapes, where names alone do not tell); every tensor must then be known to that scheme: one that
// is left over would be a part of the model that riverrun silently leaves out.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "checkpoint/formats.h"

namespace riverrun::checkpoint {

// How a tensor of the file becomes an official one. Always a view; no element is copied.
enum class Change {
  none,
  transposed,  // the last two dimensions change places: strides are swapped
  stacked,     // slices along the first dimension: "{r|w}" in `to` names them, in order
  dropped,     // known, but needed by no model
};

// Patterns: '#' stands for a block number, "{a|b}" for one of these words; `to` repeats the number as '#',
// and the words, in order, as "{}". "=" as `to` is the name in the file. The first rule whose `from` fits is
// taken.
struct Rule {
  std::string_view from;
  std::string_view to;
  Change change = Change::none;
};

struct Scheme {
  const char* name;  // Extras.naming
  bool (*recognises)(const Contents& file);
  std::span<const Rule> rules;
  // Runs after the rules: what no rule can say, such as scales and Extras. May be null.
  void (*finish)(const Contents& file, std::map<std::string, Tensor>& official, Extras& extras) = nullptr;
  const char* refusal = nullptr;   // why files of this scheme cannot be used; null where they can
  const Scheme* beyond = nullptr;  // its rules follow
};

// The table in naming.cc lists them.
extern const Scheme kOfficialNames;                                              // naming_official.cc
extern const Scheme kTransformersRwkv7, kFlaRwkv7, kRwkvRsRwkv7, kWorldHfRwkv7;  // naming_rwkv7.cc
extern const Scheme kTransformersRwkv;                                           // naming_transformers.cc
extern const Scheme kWebRwkv5, kWebRwkv6, kWebRwkv7;                             // naming_web_rwkv.cc
extern const Scheme kFlaRwkv6, kFusedTransformersRwkv7;                          // naming_refused.cc
extern const Scheme kGgufRwkv6Names, kGgufRwkv7Names;                            // naming_gguf.cc

// Whether some tensor of the file has a name that fits the pattern.
bool has_name(const Contents& file, std::string_view pattern);
// The first such tensor in the order of names; null where there is none.
const Tensor* find_name(const Contents& file, std::string_view pattern);

// The checkpoint under official names, Extras.naming set. A file of no known scheme keeps its names, with
// naming "unknown". InputError for one that several schemes claim, or that has tensors which its scheme does
// not know.
std::unique_ptr<Checkpoint> name_tensors(Contents file);

}  // namespace riverrun::checkpoint
