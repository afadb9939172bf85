#include "ir/builder.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>

#include "ir/fold.h"
#include "support/half.h"

namespace kiln {

namespace {

/// The value of a reduction over no elements. nullopt: it is not defined.
std::optional<double> identity_of(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::sum:
    case ReduceKind::any:
      return 0;
    case ReduceKind::prod:
    case ReduceKind::all:
      return 1;
    case ReduceKind::mean:
      return std::numeric_limits<double>::quiet_NaN();
    default:
      return std::nullopt;
  }
}

}  // namespace

/// The result of a node that has elements, while an operand has none.
Result<ValueId> Builder::of_nothing(const Node& node, const TensorType& type) {
  std::optional<double> all;
  const bool no_keys = node.op == Op::attention && !is_empty(shape(node.inputs[0])) && is_empty(shape(node.inputs[1]));
  if (node.op == Op::matmul || no_keys) all = 0;  // sums of no products
  if (const auto* pad = std::get_if<PadAttrs>(&node.attrs)) {
    const Number value{static_cast<double>(pad->value), pad->whole};
    return expand(constant(type.dtype, {}, write_numbers({value}, type.dtype)), type.shape);
  }
  if (const auto* reduction = std::get_if<ReduceAttrs>(&node.attrs)) all = identity_of(reduction->kind);
  if (node.op == Op::concat) {
    std::vector<ValueId> rest;
    for (ValueId id : node.inputs)
      if (!is_empty(shape(id))) rest.push_back(id);
    return concat(std::move(rest), std::get_if<AxisAttrs>(&node.attrs)->axis);
  }
  if (!all)
    return Error{ErrorCode::unsupported_operator,
                 std::string(name_of(node.op)) + ": an operand has no elements, which leaves this without a value", ""};
  return expand(scalar(*all, type.dtype), type.shape);
}

Status Builder::within_budget() const {
  if (graph.nodes.size() <= node_limit_ && constant_bytes_ <= kMaxConstantBytes) return ok();
  return Error{ErrorCode::unsupported_operator,
               source_ + (constant_bytes_ > kMaxConstantBytes
                              ? ": the model needs more than 64 MB of constants that the compiler makes"
                              : ": this stands for too many operations"),
               where_};
}

Result<ValueId> Builder::append(Node node, const TensorType& wanted) {
  KILN_ASSIGN(const std::vector<ValueId> results, append_all(std::move(node), wanted));
  return results[0];
}

Result<std::vector<ValueId>> Builder::append_all(Node node, const TensorType& wanted) {
  KILN_TRY(within_budget());
  auto types = infer(graph, node, wanted);
  const auto located = [&](Error error) {
    error.where = node.where.empty() ? where_ : node.where;
    if (!source_.empty()) error.message = source_ + ": " + error.message;
    return error;
  };
  if (!types.ok()) return located(types.error());
  const bool nothing =
      std::all_of(types->begin(), types->end(), [](const TensorType& type) { return is_empty(type.shape); });
  for (ValueId id : node.inputs) {
    if (nothing || id == kNoValue || !is_empty(shape(id))) continue;
    auto made = of_nothing(node, (*types)[0]);
    if (!made.ok()) return located(made.error());
    return std::vector<ValueId>{*made};
  }
  if (folds && !nothing && types->size() == 1) {
    TensorType& type = (*types)[0];
    std::vector<uint8_t> data = fold(graph, node, type, foldable_);
    if (!data.empty()) return std::vector<ValueId>{constant(type.dtype, type.shape, std::move(data))};
  }
  if (node.source.empty()) node.source = source_;
  if (node.where.empty()) node.where = where_;
  std::vector<ValueId> results;
  node.outputs.clear();
  for (TensorType& type : *types) {
    const bool computed = !is_empty(type.shape);
    results.push_back(graph.add_value("", node.epilogue.empty() ? type.dtype : wanted.dtype, std::move(type.shape)));
    node.outputs.push_back(computed ? results.back() : kNoValue);
  }
  if (!nothing) graph.nodes.push_back(std::move(node));
  return results;
}

Result<ValueId> Builder::simple(Op op, std::vector<ValueId> inputs, OpAttrs attrs, const TensorType& wanted) {
  Node node;
  node.op = op;
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  return append(std::move(node), wanted);
}

Result<std::vector<ValueId>> Builder::several(Op op, std::vector<ValueId> inputs, OpAttrs attrs) {
  Node node;
  node.op = op;
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  return append_all(std::move(node));
}

Result<ValueId> Builder::conv(ValueId x, ValueId w, ValueId bias, const ConvAttrs& attrs) {
  return simple(Op::conv, {x, w, bias}, attrs);
}

Result<ValueId> Builder::matmul(ValueId a, ValueId b, bool transpose_b) {
  return simple(Op::matmul, {a, b}, MatmulAttrs{transpose_b});
}

Result<ValueId> Builder::map(Expr expr, std::vector<ValueId> inputs, DType dtype) {
  Node node;
  node.op = Op::map;
  node.inputs = std::move(inputs);
  node.expr = std::move(expr);
  return append(std::move(node), {dtype, {}});
}

Result<ValueId> Builder::reduce(ValueId x, const ReduceAttrs& attrs) { return simple(Op::reduce, {x}, attrs); }

Result<ValueId> Builder::softmax(ValueId x, int64_t axis, bool log) {
  NormAttrs attrs;
  attrs.kind = log ? NormKind::log_softmax : NormKind::softmax;
  attrs.axis = axis;
  return simple(Op::softmax, {x}, attrs);
}

Result<ValueId> Builder::layer_norm(ValueId x, ValueId scale, ValueId shift, const NormAttrs& attrs) {
  return simple(Op::layer_norm, {x, scale, shift}, attrs);
}

Result<ValueId> Builder::attention(ValueId q, ValueId k, ValueId v, ValueId mask, const AttentionAttrs& attrs) {
  return simple(Op::attention, {q, k, v, mask}, attrs);
}

Result<ValueId> Builder::pool(ValueId x, const PoolAttrs& attrs) { return simple(Op::pool, {x}, attrs); }
Result<ValueId> Builder::gather(ValueId table, ValueId index, int64_t axis, int64_t batch) {
  return simple(Op::gather, {table, index}, GatherAttrs{axis, batch});
}
Result<std::vector<ValueId>> Builder::sort(ValueId x, const SortAttrs& attrs) { return several(Op::sort, {x}, attrs); }
Result<std::vector<ValueId>> Builder::scan(ValueId x, const ScanAttrs& attrs) { return several(Op::scan, {x}, attrs); }
Result<ValueId> Builder::scatter(ValueId x, ValueId index, ValueId updates, const ScatterAttrs& attrs) {
  if (is_empty(shape(updates))) return x;
  return simple(Op::scatter, {x, index, updates}, attrs);
}
Result<ValueId> Builder::taps(ValueId x, TapsAttrs attrs) {
  constant_bytes_ += static_cast<int64_t>(sizeof(int32_t) * attrs.index.size() + sizeof(float) * attrs.weights.size());
  return simple(Op::taps, {x}, std::move(attrs));
}

Result<ValueId> Builder::concat(std::vector<ValueId> parts, int64_t axis) {
  if (parts.size() == 1) return parts[0];
  return simple(Op::concat, std::move(parts), AxisAttrs{axis});
}

Result<ValueId> Builder::pad(ValueId x, const PadAttrs& attrs) { return simple(Op::pad, {x}, attrs); }

Result<ValueId> Builder::branch(ValueId condition, bool otherwise) {
  return simple(Op::branch, {condition}, BranchAttrs{otherwise});
}
Result<ValueId> Builder::join(ValueId then, ValueId otherwise, ValueId a, ValueId b) {
  return simple(Op::join, {then, otherwise, a, b}, {});
}

Result<ValueId> Builder::reshape(ValueId x, const Shape& to) {
  if (to == shape(x)) return x;
  return simple(Op::reshape, {x}, {}, {value(x).dtype, to});
}

Result<ValueId> Builder::permute(ValueId x, std::vector<int64_t> axes) {
  bool same = static_cast<int64_t>(axes.size()) == rank(x);
  for (size_t i = 0; i < axes.size(); ++i) same = same && axes[i] == static_cast<int64_t>(i);
  if (same) return x;
  return simple(Op::permute, {x}, PermuteAttrs{std::move(axes)});
}

Result<ValueId> Builder::expand(ValueId x, const Shape& to) {
  if (to == shape(x)) return x;
  return simple(Op::expand, {x}, {}, {value(x).dtype, to});
}

Result<ValueId> Builder::slice(ValueId x, SliceAttrs attrs, const Shape& to) {
  bool whole = to == shape(x);
  for (size_t i = 0; whole && i < attrs.start.size(); ++i) whole = attrs.start[i] == 0 && attrs.step[i] == 1;
  if (whole) return x;
  return simple(Op::slice, {x}, std::move(attrs), {value(x).dtype, to});
}

Result<ValueId> Builder::slice_axis(ValueId x, int64_t axis, int64_t start, int64_t count, int64_t step) {
  if (axis < 0 || axis >= rank(x)) return misfit("slice: axis " + std::to_string(axis) + " is out of range");
  SliceAttrs attrs;
  attrs.start.assign(shape(x).size(), 0);
  attrs.step.assign(shape(x).size(), 1);
  attrs.start[static_cast<size_t>(axis)] = start;
  attrs.step[static_cast<size_t>(axis)] = step;
  Shape to = shape(x);
  to[static_cast<size_t>(axis)] = Dim(count);
  return slice(x, std::move(attrs), to);
}

Result<ValueId> Builder::cast(ValueId x, DType dtype) {
  if (value(x).dtype == dtype) return x;
  Fx f;
  return map(f.finish(f.to(f.in(0, lane_of(value(x).dtype)), lane_of(dtype))), {x}, dtype);
}

/// Between uint64 and int64, with the top bit turned: the order of the one is that of the other.
Result<ValueId> Builder::reordered(ValueId x, DType dtype) {
  Fx f;
  const Term t = f.to(f.in(0, lane_of(value(x).dtype)), Lane::i64);
  return map(f.finish(f.to(f.bin(PointOp::logical_xor, t, f.whole(INT64_MIN, Lane::i64)), lane_of(dtype))), {x}, dtype);
}
Result<ValueId> Builder::comparable(ValueId x) {
  const DType own = value(x).dtype;
  return own == DType::u64 ? reordered(x, DType::i64) : cast(x, kernel_type(own));
}
Result<ValueId> Builder::from_comparable(ValueId x, DType dtype) {
  return dtype == DType::u64 ? reordered(x, dtype) : cast(x, dtype);
}

ValueId Builder::constant(DType dtype, const Shape& to, std::vector<uint8_t> data) {
  const ValueId id = graph.add_value("", dtype, to);
  constant_bytes_ += static_cast<int64_t>(data.size());
  graph.value(id).data = std::move(data);
  return id;
}

ValueId Builder::scalar(double v, DType dtype) { return constant(dtype, {}, write_constant({v}, dtype)); }

ValueId Builder::integers(const std::vector<int64_t>& values, const Shape& to, DType dtype) {
  std::vector<Number> numbers;
  for (int64_t v : values) numbers.push_back({static_cast<double>(v), v});
  return constant(dtype, to, write_numbers(numbers, dtype));
}

int64_t whole_part(double real) {
  if (real != real) return 0;
  if (real <= -0x1p63) return INT64_MIN;
  return real >= 0x1p63 ? INT64_MAX : static_cast<int64_t>(real);
}

std::vector<Number> read_numbers(const Value& value) {
  std::vector<Number> out;
  const auto size = static_cast<size_t>(size_of(value.dtype));
  for (size_t at = 0; at + size <= value.data.size(); at += size) {
    Number n;
    uint64_t bits = 0;
    memcpy(&bits, value.data.data() + at, size);  // little-endian, as every target
    if (value.dtype == DType::f32) {
      float f;
      memcpy(&f, &bits, 4);
      n.real = static_cast<double>(f);
    } else if (is_half(value.dtype)) {
      n.real = static_cast<double>(half_to_float(static_cast<uint16_t>(bits), value.dtype));
    } else {
      if (value.dtype == DType::boolean) bits = bits != 0;
      const int unused = is_signed(value.dtype) ? 64 - static_cast<int>(8 * size) : 0;
      n.whole = static_cast<int64_t>(bits << unused) >> unused;
      n.real = is_signed(value.dtype) ? static_cast<double>(n.whole) : static_cast<double>(bits);
    }
    out.push_back(n);
  }
  return out;
}

std::vector<uint8_t> write_numbers(const std::vector<Number>& numbers, DType dtype) {
  std::vector<uint8_t> out;
  for (const Number& n : numbers) {
    const auto f = static_cast<float>(n.real);
    const int64_t whole = dtype == DType::boolean ? n.whole != 0 : is_half(dtype) ? float_to_half(f, dtype) : n.whole;
    uint8_t bytes[8];
    memcpy(bytes, &whole, 8);
    if (dtype == DType::f32) memcpy(bytes, &f, 4);
    out.insert(out.end(), bytes, bytes + size_of(dtype));
  }
  return out;
}

Number first_number(const Value& value) {
  Value first;
  first.dtype = value.dtype;
  first.data.assign(value.data.begin(), value.data.begin() + size_of(value.dtype));
  return read_numbers(first)[0];
}

bool uniform_constant(const Value& value, Number& number) {
  if (!value.is_constant()) return false;
  const auto width = static_cast<size_t>(size_of(value.dtype));
  for (size_t at = width; at + width <= value.data.size(); at += width)
    if (memcmp(value.data.data(), value.data.data() + at, width) != 0) return false;
  number = first_number(value);
  return true;
}

std::vector<double> read_constant(const Value& value) {
  std::vector<double> out;
  for (const Number& n : read_numbers(value)) out.push_back(n.real);
  return out;
}

std::vector<uint8_t> write_constant(const std::vector<double>& reals, DType dtype) {
  std::vector<Number> numbers;
  for (double d : reals) {
    const bool beyond = dtype == DType::u64 && d >= 0x1p63;
    const int64_t whole = beyond ? static_cast<int64_t>(static_cast<uint64_t>(d)) : whole_part(d);
    numbers.push_back({d, dtype == DType::boolean ? d != 0 : whole});
  }
  return write_numbers(numbers, dtype);
}

Term Fx::c(double value, Lane lane) {
  if (lane == Lane::f32) return {this, expr.constant(static_cast<float>(value))};
  return whole(whole_part(value), lane);
}

Term Fx::to(Term t, Lane want) {
  const Lane have = lane(t);
  if (have == want) return t;
  if (want == Lane::f32) return un(PointOp::to_f32, t);
  if (want == Lane::i32) return un(PointOp::to_i32, t);
  if (want == Lane::i64) return un(PointOp::to_i64, t);
  if (want == Lane::u64) return un(PointOp::to_u64, t);
  return un(PointOp::to_mask, t);
}

Expr Fx::finish(Term t) {
  Expr out = expr;
  out.insts.resize(static_cast<size_t>(t.at) + 1);  // later instructions cannot be read by earlier ones
  return out;
}

}  // namespace kiln
