// Output files. Metadata has a checksum, so bytes are put where rows are: status, lists, lengths, offsets, texts. With a first
// byte of 0xff the rest is a whole file that claims to have such a checksum, and ends there unless it is right: without one there
// is only the HDF5 library's own care (output/reader.h).
#include <algorithm>

#include "output/difference.h"
#include "output/metadata.h"
#include "output/reader.h"
#include "output/writer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/output/sample.h"

using namespace riverrun;

namespace {

void read_all(const std::string& path) {
  const output::Reader reader(path);
  reader.ids(), reader.tokens(), reader.bytes(), reader.errors(), reader.status();
  for (const auto& dataset : reader.datasets()) {
    using output::Element;
    const Element e = dataset.element;
    if (dataset.shape.empty() || dataset.bytes() > 1 << 20) continue;
    if (e == Element::f16 || e == Element::f32) reader.floats(dataset.path, 0, dataset.rows());
    if (e == Element::i64 || e == Element::i32 || e == Element::u8) reader.integers(dataset.path, 0, dataset.rows());
    if (e == Element::text) reader.strings(dataset.path, 0, dataset.rows());
  }
  for (const auto group : {output::TextGroup::summaries, output::TextGroup::sections, output::TextGroup::answers}) {
    const output::Dataset* const texts = reader.dataset(output::paths_of(group).text);
    for (Index row = 0; texts && row < texts->rows(); ++row) reader.generated_text(group, row);
  }
  difference(reader, output::testing::full_spec());
}

// A file of every dataset, and where its rows are.
struct Base {
  Base() {
    const output::testing::TemporaryFolder folder;
    const std::string path = folder.path("base.h5");
    output::Writer::create(path, output::testing::full_spec());
    bytes = output::testing::read_file(path);
    datasets = output::Reader(path).datasets();
  }
  std::string with_rows(std::string_view rows) const {
    std::string file = bytes;
    for (const auto& dataset : datasets) {
      const auto count = std::min(rows.size(), static_cast<std::size_t>(dataset.bytes()));
      if (dataset.offset >= 0) file.replace(static_cast<std::size_t>(dataset.offset), count, rows.substr(0, count));
      rows.remove_prefix(count);
    }
    return file;
  }
  std::string bytes;
  std::vector<output::Dataset> datasets;
};

bool has_seal(std::string_view file) { return file.ends_with("rr-seal1"); }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::InputFile input("out.h5");
  static const Base base;
  std::string_view bytes = fuzz::text_of(data, size);
  const bool whole = bytes.starts_with('\xff');
  if (whole) bytes.remove_prefix(1);
  if (whole && !has_seal(bytes)) return 0;
  try {
    read_all(input.write(whole ? std::string(bytes) : base.with_rows(bytes)));
  } catch (const InputError&) {
    return 0;
  }
  return 0;
}
