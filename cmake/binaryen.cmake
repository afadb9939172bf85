# Binaryen 120, the dozen of its sources that a JIT needs: IR builder and binary writer. See docs/dependencies.md.
set(KILN_BINARYEN "" CACHE PATH "Binaryen 120's source; unless given, it is fetched from Debian's archive")
set(BINARYEN_DIR ${KILN_BINARYEN})
if(NOT BINARYEN_DIR)
  set(BINARYEN_DIR ${KILN_DEPS}/binaryen)
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/fetch_source.sh ${BINARYEN_DIR} trixie binaryen=120-4
                          a4edd532d37b33d88e28e8d770f7177a7c0bb4495eabc6f5ecd41ffc5fd4db90 COMMAND_ERROR_IS_FATAL ANY)
endif()

set(sources wasm/literal wasm/wasm wasm/wasm-binary wasm/wasm-debug wasm/wasm-stack wasm/wasm-type ir/intrinsics
            ir/table-utils support/bits support/istring support/string support/utilities support/colors
            support/path support/name)
list(TRANSFORM sources PREPEND ${BINARYEN_DIR}/src/)
list(TRANSFORM sources APPEND .cpp)
# What its binary writer calls for every expression is made short (binaryen_min/short_writer.h, values.h): large functions run through
# so many bytes of code that an engine optimises them while a page waits, for tens of milliseconds of a processor.
set(writer ${CMAKE_BINARY_DIR}/generated/binaryen)
set(stack_writer ${BINARYEN_DIR}/src/wasm/wasm-stack.cpp)
file(READ ${stack_writer} stack_text)
file(READ ${BINARYEN_DIR}/src/wasm-stack.h header_text)
function(rewrite variable from to)
  string(REPLACE "${from}" "${to}" changed "${${variable}}")
  if(changed STREQUAL ${variable})
    message(FATAL_ERROR "Binaryen's writer is not the one that this was written for: there is no \"${from}\"")
  endif()
  set(${variable} "${changed}" PARENT_SCOPE)
endfunction()
string(FIND "${stack_text}" "void BinaryInstWriter::visitLocalGet(" begin)
string(FIND "${stack_text}" "void BinaryInstWriter::visitGlobalGet(" end)
math(EXPR length "${end} - ${begin}")
string(SUBSTRING "${stack_text}" ${begin} ${length} locals)
rewrite(stack_text "${locals}" "")
rewrite(stack_text "auto scratches = countScratchLocals();" "InsertOrderedMap<Type, Index> scratches;") # of tuples
rewrite(stack_text "void BinaryInstWriter::visitBinary(Binary* curr) {" "static void write_binary(BufferWithRandomAccess& o, Binary* curr) {")
rewrite(stack_text "#include \"wasm-stack.h\"" "#include \"short_writer.h\"")
rewrite(header_text "ValueChildIterator(curr)" "Values(curr)")
rewrite(header_text "#include \"wasm.h\"" "#include \"values.h\"\n#include \"wasm.h\"")
file(CONFIGURE OUTPUT ${writer}/wasm-stack.cpp CONTENT "${stack_text}" @ONLY)
file(CONFIGURE OUTPUT ${writer}/wasm-stack.h CONTENT "${header_text}" @ONLY)
list(REMOVE_ITEM sources ${stack_writer})
list(APPEND sources ${writer}/wasm-stack.cpp)
add_library(binaryen_min STATIC EXCLUDE_FROM_ALL ${sources} ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/binaryen_c.cpp
                                ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/module_utils.cpp
                                ${CMAKE_SOURCE_DIR}/cmake/binaryen_min/pass_runner.cpp)
target_include_directories(binaryen_min SYSTEM BEFORE PRIVATE ${writer} ${CMAKE_SOURCE_DIR}/cmake/binaryen_min)
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
