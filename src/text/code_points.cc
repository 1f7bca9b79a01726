#include "text/code_points.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>

#include <algorithm>

#include "core/error.h"
#include "text/utf8.h"

namespace riverrun::text {
namespace {

constexpr std::uint32_t kCodePoints = 0x110000;
constexpr std::uint32_t kFirstNotPlain = 0x300;  // the first combining mark; all before it are plain

const UNormalizer2* nfc_data() {
  UErrorCode status = U_ZERO_ERROR;
  const UNormalizer2* const nfc = unorm2_getNFCInstance(&status);
  RR_CHECK(U_SUCCESS(status), "the ICU library has no normalisation data: ", u_errorName(status));
  return nfc;
}

// Whether normalisation knows the character: the `tokenizers` package, with which models were trained, has
// the data of Unicode 9. A later mark stays where it is there. The rules for what Unicode 9 has cannot change
// any more, so the result is the same with every version of ICU.
bool is_normalised(UChar32 c) {
  UVersionInfo age;
  u_charAge(c, age);
  return age[0] >= 1 && age[0] <= 9;
}

CodePoints::Class general_class(UChar32 c) {
  const auto category = U_GET_GC_MASK(c);
  if (category & U_GC_L_MASK) return CodePoints::kLetter;
  if (category & U_GC_N_MASK) return CodePoints::kNumber;
  return u_isUWhiteSpace(c) ? CodePoints::kSpace : CodePoints::kOther;
}

// NFC of a short stretch, by its definition: decompose, order the marks, compose.
//
// ICU's own function orders marks by insertion, which takes quadratic time for a long run of them in the
// wrong order; text from outside may be such a run.
class Composer {
 public:
  explicit Composer(const UNormalizer2* nfc) : nfc_(nfc) {}

  void append(std::string_view text, std::string& out) {
    decompose(text);
    order();
    compose();
    for (const Character& character : characters_) append_utf8(character.code_point, out);
  }

 private:
  struct Character {
    std::uint32_t code_point;
    unsigned char combining_class;
  };

  void decompose(std::string_view text) {
    characters_.clear();
    for (std::size_t at = 0; at < text.size();) {
      const auto c = static_cast<UChar32>(next_code_point(text, at));
      constexpr int kLongest = 32;  // UTF-16 units; the longest full canonical decomposition has 4 characters
      UChar units[kLongest];
      UErrorCode status = U_ZERO_ERROR;
      const std::int32_t size = unorm2_getDecomposition(nfc_, c, units, kLongest, &status);
      RR_CHECK(U_SUCCESS(status) && size <= kLongest, "ICU cannot decompose code point ", c, ": ",
               u_errorName(status));
      if (size < 0 || !is_normalised(c)) {
        add(c);
        continue;
      }
      for (std::int32_t i = 0; i < size;) {
        UChar32 part;
        U16_NEXT(units, i, size, part);
        add(part);
      }
    }
  }

  void add(UChar32 c) {
    const unsigned char combining_class = is_normalised(c) ? unorm2_getCombiningClass(nfc_, c) : 0;
    characters_.push_back({static_cast<std::uint32_t>(c), combining_class});
  }

  // Canonical ordering: every run of marks by class, else as it was.
  void order() {
    const auto is_mark = [](const Character& character) { return character.combining_class != 0; };
    for (auto begin = characters_.begin(); begin != characters_.end();) {
      begin = std::find_if(begin, characters_.end(), is_mark);
      const auto end = std::find_if_not(begin, characters_.end(), is_mark);
      std::stable_sort(begin, end, [](const Character& a, const Character& b) {
        return a.combining_class < b.combining_class;
      });
      begin = end;
    }
  }

  // Canonical composition: a character joins the last starter unless one between them blocks it, which a
  // character of the same or a higher class does.
  void compose() {
    std::size_t starter = 0, kept = 0;
    bool has_starter = false;
    unsigned char last_class = 0;  // of the last character kept after the starter
    for (const Character character : characters_) {
      const bool adjacent = has_starter && kept == starter + 1;
      if (has_starter && (adjacent || last_class < character.combining_class)) {
        const UChar32 joined = unorm2_composePair(nfc_, static_cast<UChar32>(characters_[starter].code_point),
                                                  static_cast<UChar32>(character.code_point));
        if (joined >= 0) {
          characters_[starter].code_point = static_cast<std::uint32_t>(joined);
          continue;
        }
      }
      if (character.combining_class == 0) {
        starter = kept;
        has_starter = true;
      }
      last_class = character.combining_class;
      characters_[kept++] = character;
    }
    characters_.resize(kept);
  }

  const UNormalizer2* nfc_;
  std::vector<Character> characters_;
};

}  // namespace

CodePoints::CodePoints() : flags_(kCodePoints) {
  const UNormalizer2* const nfc = nfc_data();
  for (std::uint32_t at = 0; at < kCodePoints; ++at) {
    const auto c = static_cast<UChar32>(at);
    const bool plain =
        at < kFirstNotPlain || !is_normalised(c) ||
        (u_getIntPropertyValue(c, UCHAR_NFC_QUICK_CHECK) == UNORM_YES && unorm2_hasBoundaryBefore(nfc, c));
    flags_[at] = static_cast<unsigned char>(general_class(c) | (plain ? kPlain : 0));
  }
}

const CodePoints& CodePoints::get() {
  static const CodePoints table;
  return table;
}

bool CodePoints::is_plainly_nfc(std::string_view text) const {
  for (std::size_t at = 0; at < text.size();) {
    if (!is_plain(next_code_point(text, at))) return false;
  }
  return true;
}

void CodePoints::append_nfc(std::string_view text, std::string& out) const {
  Composer composer(nfc_data());
  std::size_t done = 0;   // [0, done) has been appended
  std::size_t begin = 0;  // of the last plain character
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    if (is_plain(next_code_point(text, at))) {
      begin = here;
      continue;
    }
    // From the plain character before this one to the next plain one: what is outside has no part in it.
    std::size_t end = at;
    while (at < text.size() && !is_plain(next_code_point(text, at))) end = at;
    out.append(text, done, begin - done);
    composer.append(text.substr(begin, end - begin), out);
    done = begin = at = end;
  }
  out.append(text, done);
}

}  // namespace riverrun::text
