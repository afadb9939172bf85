#pragma once

#include "wasm-stack.h"

namespace wasm {

/// Binaryen's own, with its case for each of 300 operations.
static void write_binary(BufferWithRandomAccess& o, Binary* curr);

void BinaryInstWriter::visitBinary(Binary* curr) {
  static thread_local std::vector<uint8_t> written[InvalidBinary];
  std::vector<uint8_t>& bytes = written[curr->op];
  if (bytes.empty()) {
    const size_t begin = o.size();
    write_binary(o, curr);
    bytes.assign(o.begin() + static_cast<ptrdiff_t>(begin), o.end());
    return;
  }
  for (const uint8_t byte : bytes) o.push_back(byte);
}

// Nothing here makes tuples: a local is one local.

void BinaryInstWriter::visitLocalGet(LocalGet* curr) {
  o << int8_t(BinaryConsts::LocalGet) << U32LEB(mappedLocals.find({curr->index, 0})->second);
}

void BinaryInstWriter::visitLocalSet(LocalSet* curr) {
  o << int8_t(curr->isTee() ? BinaryConsts::LocalTee : BinaryConsts::LocalSet)
    << U32LEB(mappedLocals.find({curr->index, 0})->second);
}

}  // namespace wasm
