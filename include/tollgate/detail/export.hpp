/// TOLLGATE_EXPORT marks what libtollgate.so exports. The library is compiled with hidden visibility, so every function
/// that is defined in src/ and declared in a public header needs the mark. So does every class that crosses the border
/// by its type: one that is thrown, or that has virtual functions, has one type_info in a program only when it is
/// visible.
#pragma once

#define TOLLGATE_EXPORT __attribute__((visibility("default")))
