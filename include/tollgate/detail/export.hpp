/// TOLLGATE_EXPORT marks what libtollgate.so exports. The library is compiled with hidden visibility, so every function
/// that is defined in src/ and declared in a public header needs the mark. So does every class that is thrown or has
/// virtual functions: only a visible class has a single type_info in the program.
#pragma once

#define TOLLGATE_EXPORT __attribute__((visibility("default")))
