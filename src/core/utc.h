// The time of day, as riverrun writes it into files.
#pragma once

#include <string>

namespace riverrun {

// "2025-01-31T23:59:59Z"
std::string utc_now();

}  // namespace riverrun
