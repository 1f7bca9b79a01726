#include <hdf5.h>

#include "core/error.h"
#include "output/hdf5_file.h"
#include "output/utf8.h"

namespace riverrun::output {

using detail::Handle;
using detail::QuietErrors;

namespace {

constexpr std::size_t kMostTextRead = std::size_t{1} << 20;  // more than HDF5's compact attributes can hold

}  // namespace

void Hdf5File::add_attribute(const Attribute& attribute) {
  const QuietErrors quiet;
  const std::string doing = concat("write attribute ", attribute.name);
  const auto add = [&](Handle file_type, hid_t memory_type, const void* value) {
    const Handle space(check(H5Screate(H5S_SCALAR), doing), H5Sclose);
    const Handle made(
        check(H5Acreate2(id_, attribute.name.c_str(), file_type, space, H5P_DEFAULT, H5P_DEFAULT), doing),
        H5Aclose);
    check(H5Awrite(made, memory_type < 0 ? hid_t{file_type} : memory_type, value), doing);
  };
  if (const auto* number = std::get_if<Index>(&attribute.value)) {
    add(detail::file_type(Element::i64, 8), H5T_NATIVE_INT64, number);
  } else if (const auto* real = std::get_if<double>(&attribute.value)) {
    add(detail::file_type(Element::f64, 8), H5T_NATIVE_DOUBLE, real);
  } else {
    std::string text = std::get<std::string>(stored(attribute).value);
    if (text.empty()) text.push_back('\0');  // HDF5 has no string of length 0
    add(detail::file_type(Element::text, static_cast<Index>(text.size())), -1, text.data());
  }
}

std::vector<Attribute> Hdf5File::attributes() const {
  const QuietErrors quiet;
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  check(H5Aiterate2(id_, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, collect, &names), "list its attributes");
  std::vector<Attribute> all;
  for (const auto& name : names) {
    const Handle attribute(check(H5Aopen(id_, name.c_str(), H5P_DEFAULT), "open attribute " + name),
                           H5Aclose);
    bool known = false;
    Attribute read = read_attribute(attribute, name, known);
    if (known) all.push_back(std::move(read));
  }
  return all;
}

Attribute Hdf5File::read_attribute(std::int64_t id, const std::string& name, bool& known) const {
  const std::string doing = "read attribute " + name;
  const Handle type(check(H5Aget_type(id), doing), H5Tclose);
  const Handle space(check(H5Aget_space(id), doing), H5Sclose);
  if (check(H5Sget_simple_extent_npoints(space), doing) != 1) return {};
  known = true;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: {
      Index value = 0;
      check(H5Aread(id, H5T_NATIVE_INT64, &value), doing);
      return {name, value};
    }
    case H5T_FLOAT: {
      double value = 0;
      check(H5Aread(id, H5T_NATIVE_DOUBLE, &value), doing);
      return {name, value};
    }
    case H5T_STRING:
      return {name, read_text_attribute(id, type, name)};
    default:
      known = false;
      return {};
  }
}

std::string Hdf5File::read_text_attribute(std::int64_t attribute, std::int64_t type,
                                          const std::string& name) const {
  const std::string doing = "read attribute " + name;
  if (check(H5Tis_variable_str(type), doing) > 0) {  // not ours, but what h5py writes for a str
    char* text = nullptr;
    check(H5Aread(attribute, type, &text), doing);
    const std::string out = text ? text : "";
    check(H5free_memory(text), doing);
    return valid_utf8(out);
  }
  const std::size_t size = H5Tget_size(type);
  RR_CHECK_INPUT(size > 0 && size <= kMostTextRead, path_, ": attribute ", name, " claims ", size, " bytes");
  std::string text(size, '\0');
  check(H5Aread(attribute, type, text.data()), doing);
  if (const auto end = text.find('\0'); end != std::string::npos) text.resize(end);
  return valid_utf8(text);
}

}  // namespace riverrun::output
