// Making a whole output file at once: aside, reserved, synced, then renamed to its name.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "output/raw_file.h"
#include "output/schema.h"

namespace riverrun::output {

struct Layout {
  std::string job;
  std::vector<Attribute> attributes;  // all but `schema`, `job` and `complete`
  std::vector<Dataset> datasets;      // those of one group together; offsets are not looked at
};

// Writes rows into a file whose datasets know where they lie; what it leaves out is zero.
using Fill = std::function<void(RawFile& file, const std::vector<Dataset>& datasets)>;

// Makes `path` with its attribute `complete` as given. It appears under its name when all of it is on the
// disk. InputError when it exists, unless `replace`: then the old file stays until the new one takes its
// place. `path`.creating, left behind by a crash, is replaced; it is removed when anything goes wrong.
void create_file(const std::string& path, const Layout& layout, Index complete, bool replace,
                 const Fill& fill);

}  // namespace riverrun::output
