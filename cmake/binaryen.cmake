# Binaryen 120, the dozen of its sources that a JIT needs: IR builder and binary writer. See docs/dependencies.md.
set(BINARYEN_DIR ${KILN_DEPS}/binaryen)
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/fetch_source.sh ${BINARYEN_DIR} trixie binaryen=120-4
                        a4edd532d37b33d88e28e8d770f7177a7c0bb4495eabc6f5ecd41ffc5fd4db90 COMMAND_ERROR_IS_FATAL ANY)

set(sources wasm/literal wasm/wasm wasm/wasm-binary wasm/wasm-debug wasm/wasm-stack wasm/wasm-type ir/intrinsics
            ir/table-utils support/bits support/istring support/string support/utilities support/colors
            support/path support/name)
list(TRANSFORM sources PREPEND ${BINARYEN_DIR}/src/)
list(TRANSFORM sources APPEND .cpp)
# Nothing here makes tuples, so no function needs scratch locals for them: the writer's search for some in every function was
# a tenth of its time, and one more giant function for the engine to optimise meanwhile.
set(stack_writer ${BINARYEN_DIR}/src/wasm/wasm-stack.cpp)
file(READ ${stack_writer} text)
string(REPLACE "auto scratches = countScratchLocals();" "InsertOrderedMap<Type, Index> scratches;" without_search "${text}")
if(without_search STREQUAL text)
  message(FATAL_ERROR "${stack_writer} is not the one this was written for")
endif()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/wasm-stack.cpp CONTENT "${without_search}" @ONLY)
list(REMOVE_ITEM sources ${stack_writer})
list(APPEND sources ${CMAKE_BINARY_DIR}/generated/wasm-stack.cpp)
add_library(binaryen_min STATIC EXCLUDE_FROM_ALL ${sources} ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/binaryen_c.cpp
                                ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/module_utils.cpp
                                ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/pass_runner.cpp)
target_include_directories(binaryen_min SYSTEM PUBLIC ${BINARYEN_DIR}/src)
target_include_directories(binaryen_min SYSTEM PRIVATE ${BINARYEN_DIR}/third_party/FP16/include)
target_compile_options(binaryen_min PRIVATE -w -O2 -g0 -fno-rtti -ffunction-sections -fdata-sections)
target_compile_definitions(binaryen_min PRIVATE NDEBUG)
if(EMSCRIPTEN)
  target_compile_options(binaryen_min PRIVATE -include ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/no_streams.h)
else() # the reader and the printer of the text format, for `kiln dump --stage wat` alone
  add_library(binaryen_text OBJECT EXCLUDE_FROM_ALL ${BINARYEN_DIR}/src/passes/Print.cpp ${BINARYEN_DIR}/src/wasm/parsing.cpp
                                   ${BINARYEN_DIR}/src/support/safe_integer.cpp
                                   ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/reader_stubs.cpp)
  target_compile_options(binaryen_text PRIVATE -w -O2 -g0 -fno-rtti -ffunction-sections -fdata-sections)
  target_compile_definitions(binaryen_text PRIVATE NDEBUG)
  target_link_libraries(binaryen_text PUBLIC binaryen_min)
endif()
