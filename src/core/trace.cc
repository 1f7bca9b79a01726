#include "core/trace.h"

#include <fstream>

#include "core/error.h"

namespace riverrun {

void Trace::add(const char* name, const char* category, Clock::time_point begin, Clock::time_point end, Index block, Index layer) {
  events_.push_back({name, category, begin, end, block, layer});
}

std::string Trace::json() const {
  using Microseconds = std::chrono::duration<double, std::micro>;
  std::ostringstream out;
  out.precision(3);
  out << std::fixed << R"({"ph":"M","name":"process_name","pid":)" << rank_ << R"(,"args":{"name":"rank )" << rank_ << "\"}}";
  for (const Event& event : events_) {
    out << ",\n{\"ph\":\"X\",\"pid\":" << rank_ << ",\"tid\":0,\"name\":\"" << event.name << "\",\"cat\":\"" << event.category
        << "\",\"ts\":" << Microseconds(event.begin - origin_).count()
        << ",\"dur\":" << Microseconds(event.end - event.begin).count() << ",\"args\":{\"block\":" << event.block;
    if (event.layer >= 0) out << ",\"layer\":" << event.layer;
    out << "}}";
  }
  return out.str();
}

void write_trace(const std::string& path, std::span<const std::string> parts) {
  std::ofstream out(path);
  out << kTraceBegin;
  for (std::size_t i = 0; i < parts.size(); ++i) out << (i ? ",\n" : "") << parts[i];
  out << "\n]}\n";
  out.close();
  if (!out) throw Error(with_errno("cannot write the trace file " + path));
}

}  // namespace riverrun
