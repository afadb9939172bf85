#include "jit/fields.h"

#include <cstdio>

#include "jit/family.h"

namespace kiln {
namespace {

template <class T>
const T& at(const void* spec, const Field& field) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(spec) + field.offset);
}

std::string joined(const int64_t* numbers, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += (i ? "x" : "") + std::to_string(numbers[i]);
  return text;
}

void name(std::string& text, const char* name) {
  text += ' ';
  text += name;
  text += '=';
}

std::string value_of(const Field& field, const void* spec) {
  switch (field.kind) {
    case FieldKind::integer:
      return std::to_string(at<int64_t>(spec, field));
    case FieldKind::flag:
    case FieldKind::kind:
      return std::to_string(at<uint8_t>(spec, field));
    case FieldKind::real: {
      char digits[32];
      std::snprintf(digits, sizeof digits, "%.9g", static_cast<double>(at<float>(spec, field)));
      return digits;
    }
    case FieldKind::type:
      return name_of(at<DType>(spec, field));
    case FieldKind::pair:
      return joined(at<std::array<int64_t, 2>>(spec, field).data(), 2);
    case FieldKind::sizes: {
      const auto& sizes = at<std::vector<int64_t>>(spec, field);
      return joined(sizes.data(), sizes.size());
    }
    case FieldKind::spec:
      return to_string(*field.of, static_cast<const char*>(spec) + field.offset);
    default:
      return "";
  }
}

void append(std::string& text, const Field& field, const void* spec) {
  switch (field.kind) {
    case FieldKind::mark:
      if (at<bool>(spec, field)) text += std::string(" ") + field.name;
      return;
    case FieldKind::expr: {
      const Expr& expr = at<Expr>(spec, field);
      if (expr.empty()) return;
      name(text, field.name);
      text += to_string(expr);
      return;
    }
    case FieldKind::operands:
      for (const FusedOperand& o : at<std::vector<FusedOperand>>(spec, field)) {
        name(text, "t");
        text += name_of(o.dtype);
        name(text, "s");
        text += joined(o.strides.data(), o.strides.size());
      }
      return;
    default:
      if (field.name)
        name(text, field.name);
      else
        text += 'x';
      text += value_of(field, spec);
  }
}

}  // namespace

std::string to_string(const FieldList& list, const void* spec) {
  std::string text = list.family;
  for (const Field* field = list.begin(); field < list.end();) {
    if (field->only_with && !at<int64_t>(spec, *field)) {
      field += field->only_with;
      continue;
    }
    append(text, *field++, spec);
  }
  return text;
}

const FieldList& fields_of(const KernelSpec& spec) { return *family_of(spec).fields; }
const void* address_of(const KernelSpec& spec) {
  return std::visit([](const auto& s) -> const void* { return &s; }, spec);
}

}  // namespace kiln
