#include "ir/builder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

namespace kiln {

namespace {

/// What sums, products and the like are where there is nothing to add, multiply and so on; nullopt: not defined.
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

/// The result of a node with elements some operand of which has none.
Result<ValueId> Builder::of_nothing(const Node& node, const TensorType& type) {
  std::optional<double> all;
  const bool no_keys = node.op == Op::attention && !is_empty(shape(node.inputs[0])) && is_empty(shape(node.inputs[1]));
  if (node.op == Op::matmul || no_keys) all = 0;  // sums of no products
  if (const auto* pad = std::get_if<PadAttrs>(&node.attrs)) all = static_cast<double>(pad->value);
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

Result<ValueId> Builder::append(Node node, const TensorType& wanted) {
  auto type = infer(graph, node, wanted);
  const auto located = [&](Error error) {
    error.where = node.where.empty() ? where_ : node.where;
    if (!source_.empty()) error.message = source_ + ": " + error.message;
    return error;
  };
  if (!type.ok()) return located(type.error());
  if (is_empty(type->shape)) return graph.add_value("", type->dtype, std::move(type->shape));
  for (ValueId id : node.inputs) {
    if (id == kNoValue || !is_empty(shape(id))) continue;
    auto made = of_nothing(node, *type);
    return made.ok() ? made : Result<ValueId>(located(made.error()));
  }
  if (node.source.empty()) node.source = source_;
  if (node.where.empty()) node.where = where_;
  const DType dtype = node.epilogue.empty() ? type->dtype : wanted.dtype;
  const ValueId out = graph.add_value("", dtype, std::move(type->shape));
  node.outputs = {out};
  graph.nodes.push_back(std::move(node));
  return out;
}

Result<ValueId> Builder::simple(Op op, std::vector<ValueId> inputs, OpAttrs attrs, const TensorType& wanted) {
  Node node;
  node.op = op;
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  return append(std::move(node), wanted);
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
Result<ValueId> Builder::gather(ValueId table, ValueId index, int64_t axis) {
  return simple(Op::gather, {table, index}, AxisAttrs{axis});
}

Result<ValueId> Builder::concat(std::vector<ValueId> parts, int64_t axis) {
  if (parts.size() == 1) return parts[0];
  return simple(Op::concat, std::move(parts), AxisAttrs{axis});
}

Result<ValueId> Builder::pad(ValueId x, const PadAttrs& attrs) { return simple(Op::pad, {x}, attrs); }

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

ValueId Builder::constant(DType dtype, const Shape& to, std::vector<uint8_t> data) {
  const ValueId id = graph.add_value("", dtype, to);
  graph.value(id).data = std::move(data);
  return id;
}

ValueId Builder::scalar(double v, DType dtype) { return constant(dtype, {}, write_constant({v}, dtype)); }

ValueId Builder::integers(const std::vector<int64_t>& values, const Shape& to) {
  std::vector<uint8_t> data(values.size() * sizeof(int64_t));
  memcpy(data.data(), values.data(), data.size());
  return constant(DType::i64, to, std::move(data));
}

namespace {

template <class T>
void read_as(const Value& value, std::vector<double>& out) {
  for (size_t i = 0; i + sizeof(T) <= value.data.size(); i += sizeof(T)) {
    T t;
    memcpy(&t, value.data.data() + i, sizeof t);
    out.push_back(static_cast<double>(t));
  }
}

/// As emitted code stores numbers. NaN becomes 0, what a lane cannot hold is clamped, and of a lane bytes take the low
/// bits.
template <class T>
void write_as(const std::vector<double>& numbers, std::vector<uint8_t>& out) {
  for (double d : numbers) {
    T t;
    if constexpr (std::is_same_v<T, float>) {
      t = static_cast<float>(d);
    } else {
      using Held = std::conditional_t<sizeof(T) == 1, int32_t, T>;
      const double low = static_cast<double>(std::numeric_limits<Held>::min()),
                   high = static_cast<double>(std::numeric_limits<Held>::max());
      t = static_cast<T>(d != d      ? Held{0}
                         : d <= low  ? std::numeric_limits<Held>::min()
                         : d >= high ? std::numeric_limits<Held>::max()
                                     : static_cast<Held>(d));
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(&t);
    out.insert(out.end(), bytes, bytes + sizeof t);
  }
}

}  // namespace

std::vector<double> read_constant(const Value& value) {
  std::vector<double> out;
  switch (value.dtype) {
    case DType::f32:
      read_as<float>(value, out);
      break;
    case DType::i32:
      read_as<int32_t>(value, out);
      break;
    case DType::i64:
      read_as<int64_t>(value, out);
      break;
    case DType::i8:
      read_as<int8_t>(value, out);
      break;
    case DType::u8:
      read_as<uint8_t>(value, out);
      break;
    case DType::boolean:
      for (uint8_t byte : value.data) out.push_back(byte ? 1 : 0);
      break;
    case DType::f16:
    case DType::bf16:
      break;
  }
  return out;
}

std::vector<uint8_t> write_constant(const std::vector<double>& numbers, DType dtype) {
  std::vector<uint8_t> out;
  switch (dtype) {
    case DType::f32:
      write_as<float>(numbers, out);
      break;
    case DType::i32:
      write_as<int32_t>(numbers, out);
      break;
    case DType::i64:
      write_as<int64_t>(numbers, out);
      break;
    case DType::i8:
      write_as<int8_t>(numbers, out);
      break;
    case DType::u8:
      write_as<uint8_t>(numbers, out);
      break;
    case DType::boolean:
      for (double d : numbers) out.push_back(d != 0 ? 1 : 0);
      break;
    case DType::f16:
    case DType::bf16:
      break;
  }
  return out;
}

Term Fx::c(double value, Lane lane) {
  constexpr double kIntMax = 2147483520;  // the largest float below 2^31
  if (lane == Lane::i32) value = std::clamp(value, -kIntMax - 128, kIntMax);
  return {this, expr.constant(static_cast<float>(value), lane)};
}

Term Fx::to(Term t, Lane want) {
  const Lane have = lane(t);
  if (have == want) return t;
  if (want == Lane::f32) return un(PointOp::to_f32, t);
  if (want == Lane::i32) return un(PointOp::to_i32, t);
  return un(PointOp::to_mask, t);
}

Expr Fx::finish(Term t) {
  Expr out = expr;
  out.insts.resize(static_cast<size_t>(t.at) + 1);  // later instructions cannot be read by earlier ones
  return out;
}

}  // namespace kiln
