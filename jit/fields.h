// The fields of a spec, named once, as data. Its text follows from the list, and so do the tests of it: changing any
// field changes the text, and the text gives the spec back.
#pragma once

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include "jit/kernel_spec.h"

namespace kiln {

enum class FieldKind : uint8_t {
  integer,   ///< int64_t
  flag,      ///< bool
  mark,      ///< bool: if set, the name alone is in the text
  kind,      ///< an enum of one byte
  real,      ///< float
  type,      ///< DType
  pair,      ///< two integers
  sizes,     ///< integers
  expr,      ///< left out of the text if it is empty
  operands,  ///< of an expression
  spec,      ///< a spec inside this one
};

struct FieldList;
struct Field {
  const char* name;  ///< nullptr: the value follows that of the field before it, as in o=7x7
  uint16_t offset;   ///< in the spec
  FieldKind kind;
  uint8_t only_with =
      0;  ///< an integer: if it is 0, neither it nor the fields behind it, so many in all, are in the text
  const FieldList* of = nullptr;  ///< FieldKind::spec
};
/// In the order of the text. Every member of the spec is in it.
struct FieldList {
  const char* family;
  const Field* fields;
  size_t count;
  const Field* begin() const { return fields; }
  const Field* end() const { return fields + count; }
};
template <size_t kCount>
constexpr FieldList list_of(const char* family, const Field (&fields)[kCount]) {
  return {family, fields, kCount};
}

template <class T>
constexpr FieldKind field_kind() {
  if (std::is_same_v<T, int64_t>) return FieldKind::integer;
  if (std::is_same_v<T, bool>) return FieldKind::flag;
  if (std::is_same_v<T, float>) return FieldKind::real;
  if (std::is_same_v<T, DType>) return FieldKind::type;
  if (std::is_same_v<T, std::array<int64_t, 2>>) return FieldKind::pair;
  if (std::is_same_v<T, std::vector<int64_t>>) return FieldKind::sizes;
  if (std::is_same_v<T, Expr>) return FieldKind::expr;
  if (std::is_same_v<T, std::vector<FusedOperand>>) return FieldKind::operands;
  if (std::is_enum_v<T> && sizeof(T) == 1) return FieldKind::kind;
  return FieldKind::spec;
}

/// A member of `Spec`, of any kind but a mark or a spec.
#define KILN_FIELD(name, member) \
  ::kiln::Field { name, offsetof(Spec, member), ::kiln::field_kind<decltype(std::declval<Spec>().member)>() }
#define KILN_MARK(name, member) \
  ::kiln::Field { name, offsetof(Spec, member), ::kiln::FieldKind::mark }
#define KILN_NESTED(name, member, fields) \
  ::kiln::Field { name, offsetof(Spec, member), ::kiln::FieldKind::spec, 0, &fields }
/// The integer `member`, without which the text has none of `count` fields that begin with it.
#define KILN_ONLY_WITH(name, member, count) \
  ::kiln::Field { name, offsetof(Spec, member), ::kiln::FieldKind::integer, count }
#define KILN_EPILOGUE KILN_FIELD("epi", epilogue.expr), KILN_FIELD("", epilogue.operands)

/// "gather n=2x3 …"
std::string to_string(const FieldList& list, const void* spec);
/// The list and the address of a spec.
const FieldList& fields_of(const KernelSpec& spec);
const void* address_of(const KernelSpec& spec);

}  // namespace kiln
