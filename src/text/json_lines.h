// JsonLines: the documents of one JSON Lines file. The rules are in reader.h.
#pragma once

#include <memory>
#include <string>

#include "text/byte_stream.h"
#include "text/reader.h"

namespace riverrun::text {

// `path` is for messages, `name` for the ids of documents that have none.
std::unique_ptr<Reader> make_json_lines(std::unique_ptr<ByteStream> stream, const std::string& path,
                                        const std::string& name);

}  // namespace riverrun::text
