// A node of a drawn model that computes: a family of operators, then one of it, its operands and its arguments.
#include <algorithm>
#include <limits>

#include "tests/support/drawn_model.h"

namespace kiln::testing {
namespace {

using Ints = Draft::Ints;
using Type = Draft::Type;
using Attrs = std::vector<SourceAttr>;

const char* const kUnary[] = {"abs",        "neg",   "relu",   "sigmoid",   "tanh",  "exp",         "sqrt",
                              "silu",       "gelu",  "erf",    "hardswish", "floor", "round",       "sign",
                              "reciprocal", "rsqrt", "log",    "log1p",     "expm1", "sin",         "cos",
                              "tan",        "atan",  "mish",   "softplus",  "elu",   "hardsigmoid", "relu6",
                              "isnan",      "isinf", "square", "ceil",      "trunc", "frac",        "logical_not",
                              "exp2",       "log2",  "sinh",   "hardtanh",  "celu",  "leaky_relu",  "bitwise_not"};
const char* const kBinary[] = {"add.Tensor",         "mul.Tensor",          "sub.Tensor",
                               "div.Tensor",         "maximum.default",     "minimum.default",
                               "rsub.Tensor",        "eq.Tensor",           "lt.Tensor",
                               "ge.Tensor",          "ne.Tensor",           "logical_and.default",
                               "logical_or.default", "bitwise_xor.Tensor",  "floor_divide.default",
                               "remainder.Tensor",   "fmod.Tensor",         "atan2.default",
                               "pow.Tensor_Tensor",  "bitwise_and.Tensor",  "bitwise_left_shift.Tensor",
                               "gt.Tensor",          "logical_xor.default", "bitwise_right_shift.Tensor"};
const char* const kScalar[] = {"add.Scalar",        "mul.Scalar",          "sub.Scalar",  "div.Scalar",
                               "rsub.Scalar",       "eq.Scalar",           "lt.Scalar",   "ge.Scalar",
                               "ne.Scalar",         "floor_divide.Scalar", "fmod.Scalar", "remainder.Scalar",
                               "bitwise_and.Scalar"};

std::string aten(const std::string& name) { return "aten." + name; }

void unary(Draft& d) {
  const std::string name = d.c.of(kUnary);
  const ValueId x = d.any();
  d.add(aten(name + ".default"), {x}, {}, d.dtype(x));
}

void scalar(Draft& d) {
  const ValueId x = d.any();
  const std::string name = d.c.of(kScalar);
  SourceAttr other{"other", d.number(-3, 4)};
  if (d.dtype(x) == DType::f32) other.value = d.real(static_cast<double>(d.c.pick(-8, 8)) / 4 + 0.125);
  d.add(aten(name), {x}, {other}, d.dtype(x));
}

/// Values that broadcast, or a weight along the last dim.
void binary(Draft& d) {
  const ValueId x = d.any();
  const ValueId other = d.rank(x) && d.dtype(x) == DType::f32 && d.c.one_in(3) ? d.weight({d.dim(x, d.rank(x) - 1)})
                        : d.c.one_in(2)                                        ? x
                                                                               : d.any();
  if (other == kNoValue) return;
  const std::string name = d.c.of(kBinary);
  if (!d.add(aten(name), {x, other}, {}, d.dtype(x))) d.add(aten(name), {x, x}, {}, d.dtype(x));
}

void choose(Draft& d) {
  const ValueId x = d.any(), other = d.any(), mask = d.any_of(DType::boolean);
  if (mask == kNoValue) {
    d.add("aten.gt.Scalar", {x}, {{"other", 0.25}}, DType::boolean);
    return;
  }
  if (d.c.one_in(2))
    d.add("aten.masked_fill.Scalar", {x, mask}, {{"value", d.real(0.5)}}, d.dtype(x));
  else
    d.add("aten.where.self", {mask, x, other}, {}, d.dtype(x));
}

void cast(Draft& d) {
  const ValueId x = d.any();
  if (d.c.one_in(4)) {
    d.add("aten.clone.default", {x}, {}, d.dtype(x));
    return;
  }
  const DType to = d.c.of(kComputed);
  d.add("aten._to_copy.default", {x}, {{"dtype", std::string(name_of(to))}}, to);
}

void convolution(Draft& d) {
  const ValueId x = d.any_of(DType::f32, 3);
  if (x == kNoValue || d.rank(x) > 4) return;
  const bool flat = d.rank(x) == 3, transposed = d.c.one_in(4);
  const size_t spatial = flat ? 1 : 2;
  const int64_t channels = d.dim(x, 1);
  const int64_t form = d.c.pick(0, 3);
  const int64_t groups = form == 1 ? channels : form == 2 && channels % 2 == 0 ? 2 : 1;
  if (groups < 1) return;
  const int64_t out = form == 1 ? channels : groups * d.c.pick(1, 9);
  Ints shape = transposed ? Ints{channels, std::max<int64_t>(out / groups, 1)} : Ints{out, channels / groups};
  for (size_t i = 0; i < spatial; ++i) shape.push_back(std::max<int64_t>(d.number(1, 4), 1));
  const ValueId w = d.weight(shape);
  if (w == kNoValue) return;
  const ValueId bias = d.c.one_in(2) ? d.weight({transposed ? shape[1] * groups : out}) : kNoValue;
  Attrs attrs{{"stride", d.numbers(spatial, 1, 2)},
              {"padding", d.numbers(spatial, 0, 2)},
              {"dilation", d.numbers(spatial, 1, 2)},
              {"groups", d.extreme(groups)}};
  if (transposed) attrs.push_back({"output_padding", d.numbers(spatial, 0, 1)});
  attrs.push_back({"transposed", transposed});
  d.add("aten.convolution.default", {x, w, bias}, std::move(attrs));
}

void product(Draft& d) {
  const ValueId x = d.any_of(DType::f32, 1);
  if (x == kNoValue) return;
  const int64_t k = d.dim(x, d.rank(x) - 1), n = std::max<int64_t>(d.number(1, 20), 1);
  switch (d.c.pick(0, 4)) {
    case 0: {
      const ValueId w = d.weight({n, k});
      if (w != kNoValue) d.add("aten.linear.default", {x, w, d.c.one_in(2) ? d.weight({n}) : kNoValue});
      return;
    }
    case 1: {
      const ValueId w = d.weight({k, n});
      if (w != kNoValue) d.add("aten.matmul.default", {x, w});
      return;
    }
    case 2: {
      const ValueId w = d.weight({k, n}), bias = d.weight({n});
      if (w == kNoValue || bias == kNoValue) return;
      d.add("aten.addmm.default", {bias, x, w}, {{"beta", d.real(0.5)}, {"alpha", d.real(2)}});
      return;
    }
    case 3: {  // with itself, turned
      if (d.rank(x) < 2) return;
      const int64_t last = d.rank(x) - 1;
      if (d.add("aten.transpose.int", {x}, {{"dim0", last}, {"dim1", last - 1}})) {
        const ValueId turned = d.g.nodes.back().outputs[0];
        d.add("aten.matmul.default", {x, turned});
      }
      return;
    }
    default:
      d.add("aten.matmul.default", {x, d.any()}, {}, d.dtype(x));
  }
}

void attention(Draft& d) {
  const ValueId q = d.any_of(DType::f32, 2);
  if (q == kNoValue) return;
  const ValueId k = d.c.one_in(3) ? d.any() : q, v = d.c.one_in(3) ? d.any() : k;
  const ValueId mask = d.c.one_in(4) ? d.any() : kNoValue;
  Attrs attrs{{"is_causal", d.c.one_in(2) && mask == kNoValue}, {"enable_gqa", d.c.one_in(5)}};
  if (d.c.one_in(2)) attrs.push_back({"scale", d.real(0.25)});
  d.add("aten.scaled_dot_product_attention.default", {q, k, v, mask}, std::move(attrs));
}

void pool(Draft& d) {
  const ValueId x = d.any_of(DType::f32, 2);
  if (x == kNoValue) return;
  const bool flat = d.rank(x) == 2 || (d.rank(x) == 3 && d.c.one_in(2));
  const size_t spatial = flat ? 1 : 2;
  const std::string by = flat ? "1d" : "2d";
  const bool most = d.c.one_in(2);
  if (d.c.one_in(3)) {
    const std::string name = !most || flat ? "adaptive_avg_pool" : "adaptive_max_pool";
    d.add(aten(name + by + ".default"), {x}, {{"output_size", d.numbers(spatial, 1, 4)}});
    return;
  }
  const Ints kernel = d.numbers(spatial, 1, 3);
  Ints padding;
  for (const int64_t size : kernel) padding.push_back(d.extreme(d.c.pick(0, std::clamp<int64_t>(size, 0, 8) / 2)));
  Attrs attrs{{"kernel_size", kernel}, {"padding", padding}, {"ceil_mode", d.c.one_in(2)}};
  if (d.c.one_in(2)) attrs.push_back({"stride", d.numbers(spatial, 1, 2)});
  if (most) attrs.push_back({"dilation", d.numbers(spatial, 1, 2)});
  if (!most) attrs.push_back({"count_include_pad", d.c.one_in(2)});
  if (!most && d.c.one_in(4)) attrs.push_back({"divisor_override", d.number(1, 5)});
  d.add(aten((most ? "max_pool" : "avg_pool") + by + ".default"), {x}, std::move(attrs));
}

void reduce(Draft& d) {
  const ValueId x = d.any();
  const SourceAttr dims{"dim", d.axes(x)}, one{"dim", d.axis(x)}, keep{"keepdim", d.c.one_in(2)};
  const DType type = d.dtype(x), total = type == DType::f32 ? DType::f32 : DType::i64;
  const char* const kLists[] = {"sum.dim_IntList", "mean.dim",       "amax.default",      "amin.default",
                                "var.correction",  "std.correction", "logsumexp.default", "linalg_vector_norm.default",
                                "any.dims",        "all.dims"};
  const char* const kSingles[] = {"argmax.default", "argmin.default", "prod.dim_int"};
  switch (d.c.pick(0, 3)) {
    case 0:
      d.add(aten(d.c.of(kSingles)), {x}, {one, keep}, total);
      return;
    case 1:
      d.add(d.c.one_in(2) ? "aten.max.dim" : "aten.min.dim", {x}, {one, keep}, {Type{type}, Type{DType::i64}});
      return;
    default: {
      const std::string name = d.c.of(kLists);
      const bool truth = name[0] == 'a' && name[1] != 'm', sums = name[0] == 's' && name[1] == 'u';
      Attrs attrs{dims, keep};
      if (name[0] == 'v' || name.compare(0, 3, "std") == 0) attrs.push_back({"correction", d.extreme(1)});
      if (name[0] == 'l' && name[1] == 'i') attrs.push_back({"ord", d.real(static_cast<double>(d.c.pick(1, 3)))});
      d.add(aten(name), {x}, std::move(attrs), truth ? DType::boolean : sums ? total : type);
    }
  }
}

void norm(Draft& d) {
  const ValueId x = d.any_of(DType::f32, 1);
  if (x == kNoValue) return;
  const int64_t form = d.c.pick(0, 5), channels = d.rank(x) > 1 ? d.dim(x, 1) : 1;
  const SourceAttr eps{"eps", d.real(1e-3)};
  if (form < 2) {
    d.add(form ? "aten._log_softmax.default" : "aten._softmax.default", {x}, {{"dim", d.axis(x)}});
    return;
  }
  if (form < 4) {
    Ints tail;
    for (int64_t i = d.rank(x) - d.c.pick(1, d.rank(x)); i < d.rank(x); ++i) tail.push_back(d.dim(x, i));
    const ValueId scale = d.c.one_in(2) ? d.weight(tail) : kNoValue;
    if (form == 2)
      d.add("aten.layer_norm.default", {x, scale, d.c.one_in(2) ? d.weight(tail) : kNoValue},
            {{"normalized_shape", tail}, eps});
    else
      d.add("aten.rms_norm.default", {x, scale}, {{"normalized_shape", tail}, eps});
    return;
  }
  const ValueId scale = d.c.one_in(2) ? d.weight({channels}) : kNoValue,
                shift = d.c.one_in(2) ? d.weight({channels}) : kNoValue;
  if (form == 4) {
    d.add("aten.group_norm.default", {x, scale, shift},
          {{"num_groups", d.extreme(channels % 2 == 0 && d.c.one_in(2) ? 2 : 1)}, eps});
    return;
  }
  // A variance is positive: a constant, not a weight of any sign.
  const Ints dims{channels};
  const ValueId mean = d.weight(dims),
                variance = channels < 64
                               ? d.constant(std::vector<double>(static_cast<size_t>(channels), 0.75), dims, DType::f32)
                               : kNoValue;
  if (mean != kNoValue && variance != kNoValue)
    d.add("aten.batch_norm.default", {x, scale, shift, mean, variance}, {{"training", false}, eps});
}

void scan(Draft& d) {
  const ValueId x = d.any();
  const DType type = d.dtype(x), total = type == DType::f32 ? DType::f32 : DType::i64;
  const SourceAttr dim{"dim", d.axis(x)};
  switch (d.c.pick(0, 3)) {
    case 0:
      d.add(d.c.one_in(2) ? "aten.cummax.default" : "aten.cummin.default", {x}, {dim}, {Type{type}, Type{DType::i64}});
      return;
    case 1: {
      const ValueId real = d.any_of(DType::f32);  // products of integers leave what doubles hold
      if (real == kNoValue) return;
      d.add(d.c.one_in(2) ? "aten.cumprod.default" : "aten.logcumsumexp.default", {real}, {{"dim", d.axis(real)}});
      return;
    }
    default:
      d.add("aten.cumsum.default", {x}, {dim}, total);
  }
}

void sort(Draft& d) {
  const ValueId x = d.any();
  const DType type = d.dtype(x);
  const SourceAttr dim{"dim", d.axis(x)};
  switch (d.c.pick(0, 3)) {
    case 0:
      d.add(d.c.one_in(2) ? "aten.sort.default" : "aten.sort.stable", {x}, {dim, {"descending", d.c.one_in(2)}},
            {Type{type}, Type{DType::i64}});
      return;
    case 1:
      d.add("aten.topk.default", {x}, {dim, {"k", d.number(0, 9)}, {"largest", d.c.one_in(2)}},
            {Type{type}, Type{DType::i64}});
      return;
    case 2:
      d.add("aten.kthvalue.default", {x}, {dim, {"k", d.number(1, 5)}, {"keepdim", d.c.one_in(2)}},
            {Type{type}, Type{DType::i64}});
      return;
    default:
      d.add("aten.median.dim", {x}, {dim, {"keepdim", d.c.one_in(2)}}, {Type{type}, Type{DType::i64}});
  }
}

void scatter(Draft& d) {
  const ValueId x = d.any_of(DType::f32, 1);
  if (x == kNoValue) return;
  const int64_t axis = d.c.pick(0, d.rank(x) - 1), rows = d.dim(x, axis), count = d.c.pick(1, 5);
  std::vector<double> places;
  for (int64_t i = 0; i < count && rows > 0 && rows < 1000; ++i)
    places.push_back(static_cast<double>(d.c.pick(-rows, rows - 1)));
  if (places.empty()) return;
  const ValueId index = d.constant(places, {count}, d.c.one_in(2) ? DType::i64 : DType::i32);
  const SourceAttr dim{"dim", d.extreme(axis)};
  const char* const kReductions[] = {"prod", "amax", "amin", "mean"};
  if (d.c.one_in(3)) {
    d.add("aten.index_fill.int_Scalar", {x, index}, {dim, {"value", d.real(0.5)}});
    return;
  }
  if (!d.add("aten.index_select.default", {x, index}, {dim})) return;
  const ValueId slices = d.g.nodes.back().outputs[0];
  if (d.c.one_in(2))
    d.add("aten.index_add.default", {x, index, slices}, {dim, {"alpha", d.real(0.5)}});
  else
    d.add("aten.index_reduce.default", {x, index, slices},
          {dim, {"reduce", std::string(d.c.of(kReductions))}, {"include_self", d.c.one_in(2)}});
}

/// A weight of more than a MiB, which several nodes read, each in its own way: by rows, as a matrix, turned, in part,
/// whole.
void large_weight(Draft& d) {
  if (!d.c.one_in(64)) return;
  const int64_t size = d.c.pick(513, 560), count = d.c.pick(1, 3);
  const ValueId w = d.weight({size, size}, true);
  std::vector<double> rows;
  for (int64_t i = 0; i < count; ++i) rows.push_back(static_cast<double>(d.c.pick(0, size - 1)));
  const ValueId index = d.constant(rows, {count}, DType::i64);
  if (!d.add("aten.embedding.default", {w, index})) return;
  const ValueId x = d.g.nodes.back().outputs[0];
  for (int64_t reads = d.c.pick(1, 3); reads-- > 0;) {
    switch (d.c.pick(0, 4)) {
      case 0:
        d.add("aten.linear.default", {x, w, kNoValue});
        break;
      case 1:
        d.add("aten.matmul.default", {x, w});
        break;
      case 2:
        d.add("aten.sum.dim_IntList", {w}, {{"dim", Ints{d.c.pick(0, 1)}}});
        break;
      case 3:
        d.add("aten.select.int", {w}, {{"dim", d.c.pick(0, 1)}, {"index", d.c.pick(0, size - 1)}});
        break;
      default:
        d.add("aten.amax.default", {w}, {{"dim", Ints{d.c.pick(0, 1)}}});
    }
  }
}

using Drawn = void (*)(Draft&);
const Drawn kDrawn[] = {unary, binary,  scalar, convolution, product,      pool,  reduce, norm,        attention, scan,
                        sort,  scatter, choose, cast,        large_weight, unary, binary, convolution, product};

}  // namespace

void draw_computing_node(Draft& draft) { draft.c.of(kDrawn)(draft); }

}  // namespace kiln::testing
