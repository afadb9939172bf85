// binaryen-c.cpp with its exports emptied: EMSCRIPTEN_KEEPALIVE would pull every function of the C API into the page's
// compiler.
#ifdef __EMSCRIPTEN__
#include <emscripten.h>
#undef EMSCRIPTEN_KEEPALIVE
#define EMSCRIPTEN_KEEPALIVE
#endif
#include "binaryen-c.cpp"
