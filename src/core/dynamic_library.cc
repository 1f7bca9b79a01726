#include "core/dynamic_library.h"

#include <dlfcn.h>

#include "core/error.h"

namespace riverrun {

void* load_library(const std::string& name, const std::string& built_folder, const std::string& wanted_by, const std::string& advice) {
  if (void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  const std::string first = dlerror(), built_with = built_folder + "/" + name;
  if (void* const library = dlopen(built_with.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  throw InputError(concat(wanted_by, ": cannot load ", name, ": ", first, "; ", dlerror(), "; ", advice));
}

void* find_symbol(void* library, const char* name) { return dlsym(library, name); }

}  // namespace riverrun
