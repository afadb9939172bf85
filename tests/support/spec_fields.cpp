#include "tests/support/spec_fields.h"

#include <cmath>
#include <cstdlib>
#include <string>

#include "jit/family.h"

namespace kiln::testing {
namespace {

template <size_t... kIndex>
std::vector<KernelSpec> all_of(std::index_sequence<kIndex...>) {
  return {KernelSpec(std::in_place_index<kIndex>)...};
}

template <class T>
T& at(void* spec, const Field& field) {
  return *reinterpret_cast<T*>(static_cast<char*>(spec) + field.offset);
}
void* inside(KernelSpec& spec) { return const_cast<void*>(address_of(spec)); }

// -- random values
// ------------------------------------------------------------------------------------------------------------------------

class Filler {
 public:
  explicit Filler(std::mt19937& random) : random_(random) {}

  void fill(const FieldList& list, void* spec) {
    for (const Field* field = list.begin(); field < list.end(); ++field) {
      fill(*field, spec);
      if (field->only_with && !at<int64_t>(spec, *field)) field += field->only_with - 1;
    }
  }

 private:
  int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  int64_t number() { return pick(0, 3) ? pick(-3, 40) : pick(-(int64_t{1} << 40), int64_t{1} << 40); }
  DType type() { return static_cast<DType>(pick(0, static_cast<int64_t>(DType::boolean))); }
  std::vector<int64_t> sizes() {
    std::vector<int64_t> out(static_cast<size_t>(pick(0, 4)));
    for (int64_t& n : out) n = number();
    return out;
  }
  Expr expr() {
    Expr e;
    if (!pick(0, 2)) return e;
    uint16_t x = e.input(0);
    if (pick(0, 1)) x = e.binary(PointOp::max, e.constant(static_cast<float>(number()) / 7), x);
    if (pick(0, 1)) x = e.unary(PointOp::to_i64, x), x = e.binary(PointOp::shl, x, e.integer(number(), Lane::i64));
    if (pick(0, 1)) x = e.select(e.unary(PointOp::to_mask, e.input(1)), x, x);
    return e;
  }

  void fill(const Field& field, void* spec) {
    switch (field.kind) {
      case FieldKind::integer:
        at<int64_t>(spec, field) = number();
        return;
      case FieldKind::flag:
      case FieldKind::mark:
        at<bool>(spec, field) = pick(0, 1);
        return;
      case FieldKind::kind:
        at<uint8_t>(spec, field) = static_cast<uint8_t>(pick(0, 3));
        return;
      case FieldKind::real:
        at<float>(spec, field) = std::ldexp(static_cast<float>(number()) / 3, static_cast<int>(pick(-40, 40)));
        return;
      case FieldKind::type:
        at<DType>(spec, field) = type();
        return;
      case FieldKind::pair:
        at<std::array<int64_t, 2>>(spec, field) = {number(), number()};
        return;
      case FieldKind::sizes:
        at<std::vector<int64_t>>(spec, field) = sizes();
        return;
      case FieldKind::expr:
        at<Expr>(spec, field) = expr();
        return;
      case FieldKind::operands:
        for (int64_t n = pick(0, 2); n > 0; --n)
          at<std::vector<FusedOperand>>(spec, field).push_back({type(), sizes()});
        return;
      case FieldKind::spec:
        fill(*field.of, static_cast<char*>(spec) + field.offset);
        return;
    }
  }

  std::mt19937& random_;
};

// -- single changes
// -----------------------------------------------------------------------------------------------------------------------

/// How many parts of a field can change each for itself.
int parts_of(const Field& field, void* spec) {
  switch (field.kind) {
    case FieldKind::pair:
      return 2;
    case FieldKind::sizes:
      return at<std::vector<int64_t>>(spec, field).empty() ? 1 : 2;
    case FieldKind::expr:
      return at<Expr>(spec, field).empty() ? 1 : 2;
    case FieldKind::operands:
      return at<std::vector<FusedOperand>>(spec, field).empty() ? 1 : 3;
    default:
      return 1;
  }
}

void change(const Field& field, void* spec, int part) {
  switch (field.kind) {
    case FieldKind::integer:
      at<int64_t>(spec, field) += at<int64_t>(spec, field) == -1 ? 2 : 1;
      return;
    case FieldKind::flag:
    case FieldKind::mark:
      at<bool>(spec, field) = !at<bool>(spec, field);
      return;
    case FieldKind::kind:
      at<uint8_t>(spec, field) += 1;
      return;
    case FieldKind::real:
      at<float>(spec, field) = std::nextafter(at<float>(spec, field), INFINITY);
      return;
    case FieldKind::type:
      at<DType>(spec, field) = at<DType>(spec, field) == DType::f32 ? DType::i64 : DType::f32;
      return;
    case FieldKind::pair:
      at<std::array<int64_t, 2>>(spec, field)[static_cast<size_t>(part)] += 1;
      return;
    case FieldKind::sizes: {
      auto& sizes = at<std::vector<int64_t>>(spec, field);
      if (part == 0) return sizes.push_back(1);
      sizes[0] += 1;
      return;
    }
    case FieldKind::expr: {
      Expr& expr = at<Expr>(spec, field);
      if (part == 0) return expr.insts.push_back(identity_expr().insts[0]);
      expr.insts[0].a += 1;
      return;
    }
    case FieldKind::operands: {
      auto& operands = at<std::vector<FusedOperand>>(spec, field);
      if (part == 0) return operands.push_back({});
      if (part == 1) return operands[0].strides.push_back(1);
      operands[0].dtype = operands[0].dtype == DType::f32 ? DType::i64 : DType::f32;
      return;
    }
    case FieldKind::spec:
      return;  // each of its fields in turn
  }
}

/// Calls f(change) for every change, which takes the address of a spec of the list.
template <class F>
void each_change(const FieldList& list, void* spec, size_t offset, F f) {
  for (const Field* field = list.begin(); field < list.end(); ++field) {
    if (field->kind == FieldKind::spec) {
      each_change(*field->of, static_cast<char*>(spec) + field->offset, offset + field->offset, f);
      continue;
    }
    for (int part = 0; part < parts_of(*field, spec); ++part)
      f([&](void* copy) { change(*field, static_cast<char*>(copy) + offset, part); });
    if (field->only_with && !at<int64_t>(spec, *field)) field += field->only_with - 1;
  }
}

// -- text
// ---------------------------------------------------------------------------------------------------------------------------

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool over() const { return ok_ && text_.empty(); }

  void read(const FieldList& list, void* spec) {
    expect(list.family);
    for (const Field* field = list.begin(); ok_ && field < list.end(); ++field) {
      if (field->only_with && !begins(start_of(*field))) {
        at<int64_t>(spec, *field) = 0;
        field += field->only_with - 1;
        continue;
      }
      read(*field, spec);
    }
  }

 private:
  static std::string start_of(const Field& field) { return field.name ? std::string(" ") + field.name + "=" : "x"; }
  bool begins(std::string_view what) const { return text_.substr(0, what.size()) == what; }
  bool accept(std::string_view what) {
    if (!begins(what)) return false;
    text_.remove_prefix(what.size());
    return true;
  }
  void expect(std::string_view what) { ok_ = accept(what) && ok_; }

  template <class N>
  N convert(N (*function)(const char*, char**)) {
    const std::string rest(text_.substr(0, 64));
    char* end = nullptr;
    const N number = function(rest.c_str(), &end);
    ok_ = ok_ && end != rest.c_str();
    text_.remove_prefix(static_cast<size_t>(end - rest.c_str()));
    return number;
  }
  int64_t integer() {
    return convert<long long>([](const char* s, char** end) { return std::strtoll(s, end, 10); });
  }
  float real() { return convert<float>(std::strtof); }
  DType type() {
    for (int t = 0; t <= static_cast<int>(DType::boolean); ++t)
      if (accept(name_of(static_cast<DType>(t)))) return static_cast<DType>(t);
    ok_ = false;
    return DType::f32;
  }
  std::vector<int64_t> sizes() {
    std::vector<int64_t> out;
    if (text_.empty() || text_[0] == ' ') return out;
    do out.push_back(integer());
    while (ok_ && accept("x"));
    return out;
  }
  Expr expr() {
    Expr out;
    do {
      PointInst inst;
      size_t longest = 0;
      for (int op = 0; op <= static_cast<int>(PointOp::shr); ++op) {
        const std::string_view name = name_of(static_cast<PointOp>(op));
        if (begins(name) && name.size() > longest) inst.op = static_cast<PointOp>(op), longest = name.size();
      }
      ok_ = ok_ && longest;
      text_.remove_prefix(longest);
      inst.lane = accept(".i") ? Lane::i32 : accept(".m") ? Lane::mask : accept(".l") ? Lane::i64 : Lane::f32;
      if (inst.op == PointOp::input) {
        inst.a = static_cast<uint16_t>(integer());
      } else if (inst.op == PointOp::constant && inst.lane != Lane::f32) {
        inst.integer = integer();
      } else if (inst.op == PointOp::constant) {
        inst.value = real();
      } else {
        uint16_t* const operands[] = {&inst.a, &inst.b, &inst.c};
        for (int i = 0; i < arity(inst.op); ++i) expect(i ? "," : "("), *operands[i] = static_cast<uint16_t>(integer());
        expect(")");
      }
      out.insts.push_back(inst);
    } while (ok_ && accept(";"));
    return out;
  }

  void read(const Field& field, void* spec) {
    if (field.kind == FieldKind::mark) {
      at<bool>(spec, field) = accept(std::string(" ") + field.name);
      return;
    }
    if (field.kind == FieldKind::operands) {
      while (ok_ && accept(" t=")) {
        FusedOperand operand;
        operand.dtype = type();
        expect(" s=");
        operand.strides = sizes();
        at<std::vector<FusedOperand>>(spec, field).push_back(std::move(operand));
      }
      return;
    }
    if (field.kind == FieldKind::expr) {
      if (accept(start_of(field))) at<Expr>(spec, field) = expr();
      return;
    }
    expect(start_of(field));
    switch (field.kind) {
      case FieldKind::integer:
        at<int64_t>(spec, field) = integer();
        return;
      case FieldKind::flag:
      case FieldKind::kind:
        at<uint8_t>(spec, field) = static_cast<uint8_t>(integer());
        return;
      case FieldKind::real:
        at<float>(spec, field) = real();
        return;
      case FieldKind::type:
        at<DType>(spec, field) = type();
        return;
      case FieldKind::pair: {
        auto& pair = at<std::array<int64_t, 2>>(spec, field);
        pair[0] = integer();
        expect("x");
        pair[1] = integer();
        return;
      }
      case FieldKind::sizes:
        at<std::vector<int64_t>>(spec, field) = sizes();
        return;
      default:
        read(*field.of, static_cast<char*>(spec) + field.offset);
    }
  }

  std::string_view text_;
  bool ok_ = true;
};

}  // namespace

std::vector<KernelSpec> empty_specs() { return all_of(std::make_index_sequence<std::variant_size_v<KernelSpec>>{}); }

void fill(KernelSpec& spec, std::mt19937& random) { Filler(random).fill(fields_of(spec), inside(spec)); }

std::vector<KernelSpec> changed(const KernelSpec& spec) {
  std::vector<KernelSpec> all;
  KernelSpec seen = spec;
  each_change(fields_of(spec), inside(seen), 0, [&](auto apply) {
    KernelSpec copy = spec;
    apply(inside(copy));
    all.push_back(std::move(copy));
  });
  return all;
}

std::optional<KernelSpec> parse_spec(std::string_view text) {
  const std::string_view family = text.substr(0, text.find(' '));
  for (KernelSpec& spec : empty_specs()) {
    if (family != family_name(spec)) continue;
    Reader reader(text);
    reader.read(fields_of(spec), inside(spec));
    if (reader.over()) return std::move(spec);
  }
  return std::nullopt;
}

}  // namespace kiln::testing
