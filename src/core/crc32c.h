// CRC-32C (Castagnoli), the checksum of ring messages and checkpoints.
//
// Own code because it stands on the critical path of every hop and must be there on a bare GPU node: SSE4.2 does
// 8 bytes an instruction, several times zlib's CRC-32. Polynomial 0x1EDC6F41, reflected, as in RFC 3720 B.4.
#pragma once

#include <cstdint>
#include <span>

namespace riverrun {

// Continues from `crc` (0 at the start).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace riverrun
