// Libraries that are loaded when they are first asked for: a program built with one runs where there is none.
#pragma once

#include <string>

namespace riverrun {

// Where the loader looks, else in `built_folder`, where it was when this was built. Never unloaded. InputError "wanted_by: cannot
// load name: why; advice".
void* load_library(const std::string& name, const std::string& built_folder, const std::string& wanted_by, const std::string& advice);

// Null when the library has no such function.
void* find_symbol(void* library, const char* name);

template <class Function>
bool find_function(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(find_symbol(library, name));
  return function != nullptr;
}

}  // namespace riverrun
