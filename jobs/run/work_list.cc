#include "jobs/run/work_list.h"

#include <cstring>

#include "core/error.h"

namespace riverrun::jobs {

namespace {

struct Fixed {
  Index spool_tokens, start_tokens, block_tokens, documents, keys, path_bytes, begins;
};

}  // namespace

std::vector<std::byte> pack(const WorkList& list) {
  const Fixed fixed{list.spool_tokens, list.start_tokens, list.block_tokens, std::ssize(list.first), std::ssize(list.key), std::ssize(list.spool_path), std::ssize(list.begin)};
  const std::size_t column = list.first.size() * sizeof(Index);
  RR_CHECK(list.begin_crc.size() == list.begin.size(), "the work list has ", list.begin.size(), " beginnings and ", list.begin_crc.size(), " checksums of them");
  const std::size_t keys = list.key.size() * sizeof(std::uint64_t), begins = list.begin.size() * sizeof(Index), crcs = list.begin_crc.size() * sizeof(std::uint32_t);
  std::vector<std::byte> bytes(sizeof fixed + 2 * column + begins + crcs + keys + list.spool_path.size());
  std::byte* at = bytes.data();
  const auto put = [&](const void* from, std::size_t size) {
    if (size != 0) std::memcpy(at, from, size);
    at += size;
  };
  put(&fixed, sizeof fixed);
  put(list.first.data(), column);
  put(list.length.data(), column);
  put(list.begin.data(), begins);
  put(list.begin_crc.data(), crcs);
  put(list.key.data(), keys);
  put(list.spool_path.data(), list.spool_path.size());
  return bytes;
}

WorkList unpack_work_list(std::span<const std::byte> bytes) {
  Fixed fixed;
  RR_CHECK(bytes.size() >= sizeof fixed, "the work list came cut short");
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  const auto left = static_cast<Index>(bytes.size() - sizeof fixed);
  RR_CHECK(fixed.documents >= 0 && fixed.documents <= left / Index{2 * sizeof(Index)} && fixed.path_bytes >= 0 && fixed.path_bytes <= left &&
               (fixed.keys == 0 || fixed.keys == fixed.documents) && (fixed.begins == 0 || fixed.begins == fixed.documents),
           "the work list came damaged");
  const auto documents = static_cast<std::size_t>(fixed.documents), keys = static_cast<std::size_t>(fixed.keys), begins = static_cast<std::size_t>(fixed.begins),
             path = static_cast<std::size_t>(fixed.path_bytes);
  RR_CHECK(bytes.size() == sizeof fixed + (2 * documents + begins) * sizeof(Index) + begins * sizeof(std::uint32_t) + keys * sizeof(std::uint64_t) + path, "the work list came cut short");
  WorkList list;
  list.spool_tokens = fixed.spool_tokens, list.start_tokens = fixed.start_tokens, list.block_tokens = fixed.block_tokens;
  list.first.resize(documents), list.length.resize(documents), list.begin.resize(begins), list.begin_crc.resize(begins), list.key.resize(keys), list.spool_path.resize(path);
  const std::byte* at = bytes.data() + sizeof fixed;
  const auto get = [&](void* to, std::size_t size) {
    if (size != 0) std::memcpy(to, at, size);
    at += size;
  };
  get(list.first.data(), documents * sizeof(Index));
  get(list.length.data(), documents * sizeof(Index));
  get(list.begin.data(), begins * sizeof(Index));
  get(list.begin_crc.data(), begins * sizeof(std::uint32_t));
  get(list.key.data(), keys * sizeof(std::uint64_t));
  get(list.spool_path.data(), path);
  return list;
}

}  // namespace riverrun::jobs
