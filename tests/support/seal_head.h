// Writes the right checksum into a head, so that tests and the fuzzer get past that check.
#pragma once

#include <cstring>

#include "format/kiln_file.h"
#include "format/model_generated.h"

namespace kiln {

/// Bytes that are no head, or have no place for a checksum, stay as they are.
inline void seal_head(uint8_t* head, int64_t size) {
  flatbuffers::Verifier verifier(head, static_cast<size_t>(size), 64, 10000000);
  if (!verifier.VerifySizePrefixedBuffer<fb::Model>("KILN")) return;
  auto* table = flatbuffers::GetMutableSizePrefixedRoot<flatbuffers::Table>(head);
  uint8_t* field = table->GetAddressOf(fb::Model::VT_HEAD_HASH);
  if (!field) return;
  const uint64_t hash = head_hash(head, size, field - head);
  std::memcpy(field, &hash, sizeof hash);
}

}  // namespace kiln
