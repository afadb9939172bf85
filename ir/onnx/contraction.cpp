// ONNX: convolutions, matrix products, sums in index notation.
#include <algorithm>
#include <cmath>

#include "ir/onnx/rows.h"
#include "ir/onnx/window.h"
#include "ir/ops/volume.h"

namespace kiln {
namespace {

/// Sizes of the kernel, which the node may say again.
Result<std::vector<int64_t>> spatial(Legalizer& l, const Node& node, const Shape& w) {
  std::vector<int64_t> kernel;
  for (size_t i = 2; i < w.size(); ++i) kernel.push_back(w[i].value);
  const std::vector<int64_t> said = l.integers(node, "kernel_shape");
  if (!said.empty() && said != kernel) return misfit(node.source + ": kernel_shape is not that of the weights");
  return kernel;
}

/// In three spatial dims.
Status conv_volume(Legalizer& l, const Node& node, ValueId x, ValueId w, const std::vector<int64_t>& kernel,
                   bool transposed) {
  KILN_ASSIGN(const Window plane, window_of(l, node, l.b.shape(x), kernel, 1, 3));
  KILN_ASSIGN(const Window along, depth_of(l, node, l.b.shape(x), kernel));
  ConvAttrs a;
  a.stride = plane.stride, a.dilation = plane.dilation;
  a.pad_begin = plane.pad_begin, a.pad_end = plane.pad_end;
  a.groups = l.integer(node, "group", 1);
  a.transposed = transposed;
  Depth depth{kernel[0], along.stride[0], along.dilation[0], along.pad_begin[0], along.pad_end[0]};
  if (transposed) {
    std::vector<int64_t> extra = l.integers(node, "output_padding");
    if (l.has(node, "output_shape") || plane.automatic.rfind("SAME", 0) == 0)
      return l.unsupported(node, "in three dims the paddings must be given, and no output_shape");
    extra.resize(3, 0);
    for (const int64_t each : extra)
      if (each < 0 || each > 1 << 20) return misfit(node.source + ": output_padding out of range");
    depth.pad_end -= extra[0], a.pad_end[0] -= extra[1], a.pad_end[1] -= extra[2];
  }
  KILN_ASSIGN(const ValueId y, convolve(l, node, x, w, l.in(node, 2), a, depth));
  return l.set(node, y);
}

Status conv(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId w, l.need(node, 1));
  const size_t rank = l.b.shape(x).size();
  KILN_ASSIGN(const std::vector<int64_t> kernel, spatial(l, node, l.b.shape(w)));
  if (rank == 5) return conv_volume(l, node, x, w, kernel, false);
  KILN_ASSIGN(const Window window, window_of(l, node, l.b.shape(x), kernel));
  ConvAttrs a;
  a.stride = window.stride, a.dilation = window.dilation;
  a.pad_begin = window.pad_begin, a.pad_end = window.pad_end;
  a.groups = l.integer(node, "group", 1);
  KILN_ASSIGN(x, as_image(l, x));
  KILN_ASSIGN(w, as_image(l, w));
  KILN_ASSIGN(ValueId y, l.b.conv(x, w, l.in(node, 2), a));
  KILN_ASSIGN(y, from_image(l, y, rank));
  return l.set(node, y);
}

/// Each channel of [N, C, L] by itself, over this step and those before, of which the last are handed on.
Status causal_conv(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId w, l.need(node, 1));
  if (l.b.rank(x) != 3 || l.b.rank(w) != 3) return misfit(node.source + ": 3 dims are expected");
  const int64_t before = l.b.shape(w)[2].value - 1;
  ConvAttrs a;
  a.groups = l.b.shape(x)[1].value;
  if (before < 0 || before > kMaxWritten) return misfit(node.source + ": the kernel is out of range");
  if (l.in(node, 3) != kNoValue) {
    KILN_ASSIGN(x, l.b.concat({l.in(node, 3), x}, 2));
  } else {
    KILN_ASSIGN(x, l.b.pad(x, PadAttrs{{0, 0, before}, {0, 0, 0}}));
  }
  const int64_t length = l.b.shape(x)[2].value;
  if (length <= before) return l.unsupported(node, "no steps are not supported");
  KILN_ASSIGN(const ValueId image, as_image(l, x));
  KILN_ASSIGN(w, as_image(l, w));
  KILN_ASSIGN(ValueId y, l.b.conv(image, w, l.in(node, 2), a));
  KILN_ASSIGN(y, from_image(l, y, 3));
  const std::string activation = l.text(node, "activation", "none");
  if (activation == "silu" || activation == "swish") {
    KILN_ASSIGN(y, l.call("aten.silu.default", {y}));
  } else if (activation != "none") {
    return l.unsupported(node, "the activation '" + activation + "' is not supported");
  }
  KILN_TRY(l.set(node, y));
  if (!l.wants(node, 1)) return ok();
  KILN_ASSIGN(const ValueId state, l.b.slice_axis(x, 2, length - before, before));
  return l.set(node, state, 1);
}

/// What is taken away from both ends is padding; what one end loses more is cut off, what it gains is zeros.
Status conv_transpose(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId x, l.need(node, 0));
  KILN_ASSIGN(ValueId w, l.need(node, 1));
  const size_t rank = l.b.shape(x).size(), dims = rank < 2 ? 0 : rank - 2;
  KILN_ASSIGN(const std::vector<int64_t> kernel, spatial(l, node, l.b.shape(w)));
  if (rank == 5) return conv_volume(l, node, x, w, kernel, true);
  KILN_ASSIGN(Window window, window_of(l, node, l.b.shape(x), kernel));
  std::vector<int64_t> extra = l.integers(node, "output_padding"), wanted = l.integers(node, "output_shape");
  extra.resize(dims, 0);
  if (wanted.size() == dims + 2) wanted.erase(wanted.begin(), wanted.begin() + 2);
  for (int64_t size : wanted)
    if (size < 0 || size > kMaxElements) return misfit(node.source + ": output_shape out of range");
  KILN_ASSIGN(x, as_image(l, x));
  KILN_ASSIGN(w, as_image(l, w));
  const bool automatic = window.automatic == "SAME_UPPER" || window.automatic == "SAME_LOWER";
  std::vector<int64_t> padding(2, 0), output_padding(2, 0);
  for (size_t i = 0; i < dims; ++i) {
    const size_t at = 2 - dims + i;
    const int64_t in = l.b.shape(x)[2 + at].value;
    if (extra[i] < 0 || extra[i] > 1 << 20) return misfit(node.source + ": output_padding out of range");
    const int64_t full = window.stride[at] * (in - 1) + extra[i] + window.reach(at);
    if (!wanted.empty() || automatic) {
      const int64_t size = wanted.empty() ? in * window.stride[at] : i < wanted.size() ? wanted[i] : full;
      const int64_t total = full - size;
      const int64_t half = total / 2;  // what there is too little of is zeros at the end
      window.pad_begin[at] = total < 0 ? 0 : window.automatic == "SAME_UPPER" ? half : total - half;
      window.pad_end[at] = total - window.pad_begin[at];
    }
    padding[at] = std::clamp<int64_t>(std::min(window.pad_begin[at], window.pad_end[at]), 0, window.reach(at) - 1);
    output_padding[at] = extra[i];
  }
  const std::vector<int64_t> stride(window.stride.begin(), window.stride.end()),
      dilation(window.dilation.begin(), window.dilation.end());
  KILN_ASSIGN(ValueId y, l.call("aten.convolution.default", {x, w, l.in(node, 2)},
                                {{"stride", stride},
                                 {"padding", padding},
                                 {"dilation", dilation},
                                 {"transposed", true},
                                 {"output_padding", output_padding},
                                 {"groups", l.integer(node, "group", 1)}}));
  std::vector<int64_t> around;  // from the last dim on; negative ones cut
  for (size_t i = 2; i-- > 0;) {
    around.push_back(padding[i] - window.pad_begin[i]);
    around.push_back(padding[i] - window.pad_end[i]);
  }
  KILN_ASSIGN(y, l.call("aten.constant_pad_nd.default", {y}, {{"pad", around}}));
  KILN_ASSIGN(y, from_image(l, y, rank));
  return l.set(node, y);
}

Result<ValueId> swapped(Legalizer& l, ValueId x) {
  std::vector<int64_t> axes = all_axes(l.b.rank(x));
  if (axes.size() >= 2) std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
  return l.b.permute(x, axes);
}

Result<ValueId> scaled(Legalizer& l, ValueId x, double by) {
  if (by == 1) return x;
  const DType dtype = l.b.value(x).dtype;
  Fx f;
  const Lane lane = lane_of(dtype);
  return l.b.map(f.finish(f.in(0, lane) * f.c(by, lane)), {x}, dtype);
}

/// alpha · op(A) op(B), where op may transpose.
Result<ValueId> product(Legalizer& l, const Node& node) {
  KILN_ASSIGN(ValueId a, l.need(node, 0));
  KILN_ASSIGN(ValueId b, l.need(node, 1));
  if (l.flag(node, "transA", false)) {
    KILN_ASSIGN(a, swapped(l, a));
  }
  if (l.flag(node, "transB", false)) {
    KILN_ASSIGN(b, swapped(l, b));
  }
  KILN_ASSIGN(const ValueId y, l.call("aten.matmul.default", {a, b}));
  return scaled(l, y, l.number(node, "alpha", 1));
}

Status gemm(Legalizer& l, const Node& node) {
  for (size_t i = 0; i < 2; ++i) {
    KILN_ASSIGN(const ValueId factor, l.need(node, i));
    if (l.b.rank(factor) != 2) return misfit(node.source + ": two matrices are expected");
  }
  KILN_ASSIGN(ValueId y, product(l, node));
  const double beta = l.number(node, "beta", 1);
  if (l.in(node, 2) != kNoValue && beta != 0) {
    KILN_ASSIGN(const ValueId shift, scaled(l, l.in(node, 2), beta));
    KILN_ASSIGN(y, l.call("aten.add.Tensor", {y, shift}));
  }
  return l.set(node, y);
}

Status matmul(Legalizer& l, const Node& node) { return as(l, node, "aten.matmul.default"); }

/// com.microsoft: Gemm of stacks of matrices.
Status fused_matmul(Legalizer& l, const Node& node) {
  if (l.flag(node, "transBatchA", false) || l.flag(node, "transBatchB", false))
    return l.unsupported(node, "transposed batches are not supported");
  KILN_ASSIGN(const ValueId y, product(l, node));
  return l.set(node, y);
}

// -- sums in index notation

/// An operand with an axis for each label, each once.
struct Labelled {
  ValueId x = kNoValue;
  std::string labels;
};

/// Axes that share a label become their diagonal.
Result<Labelled> diagonal(Legalizer& l, Labelled t) {
  for (size_t i = 0; i < t.labels.size(); ++i) {
    const size_t j = t.labels.find(t.labels[i], i + 1);
    if (j == t.labels.npos) continue;
    const Shape s = l.b.shape(t.x);
    if (s[i] != s[j] || s[i].value > 65536) return misfit("Einsum: a label names two sizes");
    std::vector<int64_t> order;  // i and j in front
    order.push_back(static_cast<int64_t>(i)), order.push_back(static_cast<int64_t>(j));
    std::string rest;
    for (size_t k = 0; k < s.size(); ++k)
      if (k != i && k != j) order.push_back(static_cast<int64_t>(k)), rest += t.labels[k];
    KILN_ASSIGN(ValueId x, l.b.permute(t.x, order));
    Shape flat(l.b.shape(x).begin() + 1, l.b.shape(x).end());
    flat[0] = Dim(s[i].value * s[i].value);
    KILN_ASSIGN(x, l.b.reshape(x, flat));
    KILN_ASSIGN(x, l.b.slice_axis(x, 0, 0, s[i].value, s[i].value + 1));
    t = {x, t.labels[i] + rest};
    i = static_cast<size_t>(-1);
  }
  return t;
}

Result<Labelled> ordered(Legalizer& l, const Labelled& t, const std::string& labels) {
  std::vector<int64_t> axes;
  Shape with;
  std::string present;
  for (char c : labels) {
    const size_t at = t.labels.find(c);
    if (at == t.labels.npos) continue;
    axes.push_back(static_cast<int64_t>(at));
    present += c;
  }
  KILN_ASSIGN(const ValueId x, l.b.permute(t.x, axes));
  return Labelled{x, present};
}

Result<Labelled> summed(Legalizer& l, Labelled t, const std::string& kept) {
  std::vector<int64_t> axes;
  std::string rest;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    if (kept.find(t.labels[i]) == kept.npos)
      axes.push_back(static_cast<int64_t>(i));
    else
      rest += t.labels[i];
  }
  if (axes.empty()) return t;
  const std::string own = name_of(l.b.value(t.x).dtype);
  KILN_ASSIGN(const ValueId x, l.call("aten.sum.dim_IntList", {t.x}, {{"dim", axes}, {"dtype", own}}));
  return Labelled{x, rest};
}

/// Two operands as a product of matrices: labels of both that stay are batches, those that go are summed over.
Result<Labelled> contracted(Legalizer& l, Labelled a, Labelled b, const std::string& kept) {
  std::string batch, sum, left, right;
  for (char c : a.labels) {
    const bool both = b.labels.find(c) != b.labels.npos, stays = kept.find(c) != kept.npos;
    (both ? stays ? batch : sum : left) += c;
  }
  for (char c : b.labels)
    if (a.labels.find(c) == a.labels.npos) right += c;
  KILN_ASSIGN(a, summed(l, a, batch + sum + kept));
  KILN_ASSIGN(b, summed(l, b, batch + sum + kept));
  std::string in_left, in_right;
  for (char c : left) in_left += a.labels.find(c) == a.labels.npos ? "" : std::string(1, c);
  for (char c : right) in_right += b.labels.find(c) == b.labels.npos ? "" : std::string(1, c);
  KILN_ASSIGN(a, ordered(l, a, batch + in_left + sum));
  KILN_ASSIGN(b, ordered(l, b, batch + sum + in_right));
  const Shape sa = l.b.shape(a.x), sb = l.b.shape(b.x);
  Shape out;
  for (size_t i = 0; i < batch.size(); ++i) {
    if (sa[i] != sb[i] && sa[i] != Dim(1) && sb[i] != Dim(1)) return misfit("Einsum: a label names two sizes");
    out.push_back(sa[i] == Dim(1) ? sb[i] : sa[i]);
  }
  const auto product = [](Shape::const_iterator from, Shape::const_iterator to) {
    return Dim(element_count(Shape(from, to)));
  };
  const auto nb = static_cast<std::ptrdiff_t>(batch.size()), nl = static_cast<std::ptrdiff_t>(in_left.size()),
             ns = static_cast<std::ptrdiff_t>(sum.size());
  Shape ma(sa.begin(), sa.begin() + nb), mb(sb.begin(), sb.begin() + nb);
  ma.push_back(product(sa.begin() + nb, sa.begin() + nb + nl));
  ma.push_back(product(sa.begin() + nb + nl, sa.end()));
  mb.push_back(product(sb.begin() + nb, sb.begin() + nb + ns));
  mb.push_back(product(sb.begin() + nb + ns, sb.end()));
  KILN_ASSIGN(const ValueId xa, l.b.reshape(a.x, ma));
  KILN_ASSIGN(const ValueId xb, l.b.reshape(b.x, mb));
  KILN_ASSIGN(ValueId y, l.call("aten.matmul.default", {xa, xb}));
  out.insert(out.end(), sa.begin() + nb, sa.begin() + nb + nl);
  out.insert(out.end(), sb.begin() + nb + ns, sb.end());
  KILN_ASSIGN(y, l.b.reshape(y, out));
  return Labelled{y, batch + in_left + in_right};
}

/// Labels of the dims that "..." stands for: digits, the last one 0.
std::string spelled(std::string term, int64_t rank) {
  const size_t dots = term.find("...");
  if (dots == term.npos) return term;
  const int64_t many = rank - static_cast<int64_t>(term.size() - 3);
  std::string digits;
  for (int64_t i = many; i-- > 0;) digits += static_cast<char>('0' + i);
  return term.replace(dots, 3, digits);
}

Status einsum(Legalizer& l, const Node& node) {
  std::string equation = l.text(node, "equation", "");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '), equation.end());
  const size_t arrow = equation.find("->");
  const std::string operands = equation.substr(0, arrow);
  std::vector<Labelled> terms;
  std::string all;
  if (node.inputs.size() > 32) return l.unsupported(node, "more than 32 operands");
  int64_t dots = 0;
  size_t at = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    KILN_ASSIGN(const ValueId x, l.need(node, i));
    const size_t end = std::min(operands.find(',', at), operands.size());
    if (at > operands.size()) return misfit(node.source + ": fewer terms than operands");
    std::string labels = operands.substr(at, end - at);
    at = end + 1;
    if (labels.find("...") != labels.npos) dots = std::max(dots, l.b.rank(x) - static_cast<int64_t>(labels.size()) + 3);
    if (dots > 9) return l.unsupported(node, "more than 9 dims in an ellipsis");
    labels = spelled(labels, l.b.rank(x));
    if (static_cast<int64_t>(labels.size()) != l.b.rank(x))
      return misfit(node.source + ": a term does not name each dim once");
    all += labels;
    KILN_ASSIGN(const Labelled term, diagonal(l, {x, labels}));
    terms.push_back(term);
  }
  if (terms.empty()) return misfit(node.source + ": no operands");
  std::string result;
  if (arrow != equation.npos) {
    result = equation.substr(arrow + 2);
    result = spelled(result, static_cast<int64_t>(result.size()) - 3 + dots);
  } else {  // labels that stand once, in order
    for (int64_t i = dots; i-- > 0;) result += static_cast<char>('0' + i);
    std::string once = all;
    std::sort(once.begin(), once.end());
    for (size_t i = 0; i < once.size(); ++i)
      if (once[i] > '9' && std::count(all.begin(), all.end(), once[i]) == 1) result += once[i];
  }
  Labelled y = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) {
    std::string kept = result;
    for (size_t k = i + 1; k < terms.size(); ++k) kept += terms[k].labels;
    KILN_ASSIGN(y, contracted(l, y, terms[i], kept));
  }
  KILN_ASSIGN(y, summed(l, y, result));
  KILN_ASSIGN(y, ordered(l, y, result));
  if (y.labels != result) return misfit(node.source + ": the result has a label that no operand has");
  return l.set(node, y.x);
}

}  // namespace

std::vector<OpRow> onnx_contraction_ops() {
  return {
      {"com.microsoft.FusedMatMul", fused_matmul},
      {"onnx.CausalConvWithState", causal_conv},
      {"onnx.Conv", conv},
      {"onnx.ConvTranspose", conv_transpose},
      {"onnx.Einsum", einsum},
      {"onnx.Gemm", gemm},
      {"onnx.MatMul", matmul},
  };
}

}  // namespace kiln
