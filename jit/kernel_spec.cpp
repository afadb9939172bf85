#include "jit/kernel_spec.h"

#include <cstdio>
#include <numeric>

#include "jit/family.h"

namespace kiln {
namespace {

using Sizes = std::vector<int64_t>;

int64_t product(const Sizes& s) { return std::accumulate(s.begin(), s.end(), int64_t{1}, std::multiplies<>()); }

/// Appends " name=value" fields. A spec's text is its identity, so every field must be in it.
class Text {
 public:
  explicit Text(const char* family) : text_(family) {}
  Text& field(const char* name, int64_t v) { return raw(name, std::to_string(v)); }
  Text& field(const char* name, const Sizes& v) {
    std::string s;
    for (int64_t x : v) s += (s.empty() ? "" : "x") + std::to_string(x);
    return raw(name, s);
  }
  Text& field(const char* name, const std::array<int64_t, 2>& v) { return field(name, Sizes{v[0], v[1]}); }
  Text& type(const char* name, DType t) { return raw(name, name_of(t)); }
  Text& strassen(bool v) { return v ? field("strassen", 1) : *this; }
  Text& int16(bool v) { return v ? field("int16", 1) : *this; }
  Text& rounded(bool v) { return v ? raw("weights", "int16") : *this; }
  Text& expr(const char* name, const Expr& e) { return e.empty() ? *this : raw(name, to_string(e)); }
  Text& epilogue(const Epilogue& e) {
    expr("epi", e.expr);
    for (const FusedOperand& o : e.operands) type("t", o.dtype).field("s", o.strides);
    return *this;
  }
  Text& raw(const char* name, const std::string& v) {
    text_ += std::string(" ") + name + "=" + v;
    return *this;
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string text(const ContractionSpec& s) {
  return Text("contraction")
      .field("b", s.batch)
      .field("ab", s.a_batch)
      .field("bb", s.b_batch)
      .field("cb", s.c_batch)
      .field("o", Sizes{s.oh, s.ow})
      .field("k", Sizes{s.kh, s.kw, s.k})
      .field("n", s.n)
      .field("a", Sizes{s.a_row, s.a_col})
      .field("at", Sizes{s.a_tap_row, s.a_tap_col})
      .field("c", Sizes{s.c_row, s.c_col})
      .field("br", Sizes{s.b_row, s.b_k})
      .field("w", s.winograd)
      .strassen(s.strassen)
      .int16(s.int16)
      .rounded(s.rounded)
      .epilogue(s.epilogue)
      .take();
}
std::string text(const PackSpec& s) {
  return Text("pack")
      .field("b", s.batch)
      .field("sb", s.src_batch)
      .field("k", Sizes{s.taps, s.k, s.n})
      .field("s", Sizes{s.src_tap, s.src_k, s.src_n})
      .field("stride", s.stride)
      .field("scales", s.scales)
      .take();
}
std::string text(const DepthwiseSpec& s) {
  return Text("depthwise")
      .field("b", s.batch)
      .field("o", Sizes{s.oh, s.ow, s.c})
      .field("k", Sizes{s.kh, s.kw})
      .field("i", Sizes{s.in_batch, s.in_row, s.in_col, s.in_tap_row, s.in_tap_col})
      .field("c", Sizes{s.out_batch, s.out_row, s.out_col})
      .epilogue(s.epilogue)
      .take();
}
std::string text(const MapSpec& s) {
  Text t("map");
  t.field("d", s.dims).type("to", s.out.dtype).field("so", s.out.strides).expr("expr", s.expr);
  for (const StridedOperand& o : s.inputs) t.type("t", o.dtype).field("s", o.strides);
  return t.take();
}
std::string text(const ReduceSpec& s) {
  return Text("reduce")
      .field("kind", static_cast<int64_t>(s.kind))
      .field("kept", s.kept)
      .field("red", s.reduced)
      .field("ik", s.in_kept)
      .field("ir", s.in_reduced)
      .field("ok", s.out_kept)
      .type("t", s.dtype)
      .type("to", s.out_dtype)
      .epilogue(s.epilogue)
      .take();
}
std::string text(const NormSpec& s) {
  char eps[32];
  std::snprintf(eps, sizeof eps, "%.9g", static_cast<double>(s.eps));
  return Text("norm")
      .field("kind", static_cast<int64_t>(s.kind))
      .field("rows", s.rows)
      .field("ir", s.in_rows)
      .field("or", s.out_rows)
      .field("cols", s.cols)
      .raw("eps", eps)
      .field("sc", Sizes{s.has_scale, s.has_shift, s.masked})
      .epilogue(s.epilogue)
      .take();
}
std::string text(const WindowSpec& s) {
  return Text("window")
      .field("kind", static_cast<int64_t>(s.kind))
      .field("b", s.batch)
      .field("i", Sizes{s.ih, s.iw})
      .field("o", Sizes{s.oh, s.ow, s.c})
      .field("k", Sizes{s.kh, s.kw})
      .field("st", Sizes{s.stride_h, s.stride_w})
      .field("di", Sizes{s.dilation_h, s.dilation_w})
      .field("p", Sizes{s.pad_top, s.pad_left})
      .field("div", Sizes{s.divide_by_all, s.divisor, s.even})
      .field("si", Sizes{s.in_batch, s.in_row, s.in_col})
      .field("so", Sizes{s.out_batch, s.out_row, s.out_col})
      .epilogue(s.epilogue)
      .take();
}
std::string text(const GatherSpec& s) {
  return Text("gather")
      .field("n", s.dims)
      .field("so", s.out)
      .field("st", s.table)
      .field("si", s.index)
      .field("rows", Sizes{s.rows, s.table_row, s.slice})
      .type("t", s.dtype)
      .type("ti", s.index_dtype)
      .rounded(s.rounded)
      .take();
}
std::string text(const AttentionSpec& s) {
  Text t("attention");
  t.raw("scores", text(s.scores)).raw("values", text(s.values)).field("rows", Sizes{s.k_row, s.v_row});
  if (s.late)
    t.field("late", Sizes{s.late, s.late_k_row, s.late_v_row}).field("lk", s.late_k_batch).field("lv", s.late_v_batch);
  return t.take();
}
std::string text(const InvertedResidualSpec& s) {
  return Text("inverted_residual")
      .raw("expand", text(s.expand))
      .raw("depthwise", text(s.depthwise))
      .raw("project", text(s.project))
      .field("p", Sizes{s.pad_top, s.pad_left, s.row})
      .take();
}

std::string text(const ScanSpec& s) {
  return Text("scan")
      .field("d", s.dims)
      .field("si", s.in)
      .field("so", s.out)
      .field("sx", s.index)
      .field("n", Sizes{s.count, s.in_step, s.out_step, s.index_step})
      .field("f", Sizes{static_cast<int64_t>(s.kind), s.has_out, s.has_index})
      .type("t", s.dtype)
      .take();
}
std::string text(const TapsSpec& s) {
  return Text("taps")
      .field("d", s.dims)
      .field("si", s.in)
      .field("so", s.out)
      .field("n", Sizes{s.count, s.taps, s.in_step, s.out_step, s.weighted})
      .type("t", s.dtype)
      .epilogue(s.epilogue)
      .take();
}

std::string text(const SortSpec& s) {
  return Text("sort")
      .field("d", s.dims)
      .field("sv", s.values)
      .field("si", s.indices)
      .field("in", s.in)
      .field("n", Sizes{s.count, s.first, s.taken})
      .field("s", Sizes{s.in_step, s.values_step, s.indices_step})
      .field("f", Sizes{s.descending, s.has_values, s.has_indices})
      .type("t", s.dtype)
      .take();
}

std::string text(const ScatterSpec& s) {
  return Text("scatter")
      .field("n", s.dims)
      .field("so", s.out)
      .field("si", s.index)
      .field("su", s.updates)
      .field("m", s.serial)
      .field("mi", s.serial_index)
      .field("mu", s.serial_updates)
      .field("rows", Sizes{s.rows, s.out_row, static_cast<int64_t>(s.kind)})
      .type("t", s.dtype)
      .type("ti", s.index_dtype)
      .take();
}

double epilogue_work(const Epilogue& e) { return static_cast<double>(e.expr.insts.size()); }

struct Work {
  double flops, bytes;
};
Work work(const ContractionSpec& s) {
  const double batch = static_cast<double>(s.batch[0] * s.batch[1]), m = static_cast<double>(s.oh * s.ow),
               n = static_cast<double>(s.n);
  const double k = static_cast<double>(s.kh * s.kw * s.k);
  const double a = static_cast<double>(s.oh * s.ow * s.k), b = s.rounded ? 0.5 * k * n + n : k * n;
  const size_t operands = s.epilogue.operands.size() / 2;
  return {2 * batch * m * n * k, 4 * batch * (a + b + m * n * static_cast<double>(1 + operands))};
}
Work work(const PackSpec& s) {
  const double n = static_cast<double>(s.batch[0] * s.batch[1] * s.taps * s.k * s.n);
  return {0, 8 * n};
}
Work work(const DepthwiseSpec& s) {
  const double out = static_cast<double>(s.batch * s.oh * s.ow * s.c);
  return {2 * out * static_cast<double>(s.kh * s.kw), 8 * out};
}
Work work(const MapSpec& s) {
  const double n = static_cast<double>(product(s.dims));
  double bytes = static_cast<double>(size_of(s.out.dtype));
  for (const StridedOperand& o : s.inputs) bytes += static_cast<double>(size_of(o.dtype));
  return {n * static_cast<double>(s.expr.insts.size() - s.inputs.size()), n * bytes};
}
Work work(const ReduceSpec& s) {
  const double n = static_cast<double>(product(s.kept) * product(s.reduced));
  return {n, n * static_cast<double>(size_of(s.dtype))};
}
Work work(const NormSpec& s) {
  const double n = static_cast<double>(product(s.rows) * s.cols);
  return {n * (s.kind == NormKind::softmax ? 20 : 8) + n * epilogue_work(s.epilogue), 8 * n};
}
Work work(const WindowSpec& s) {
  const double out = static_cast<double>(s.batch * s.oh * s.ow * s.c);
  return {out * static_cast<double>(s.kh * s.kw), 4 * (out + static_cast<double>(s.batch * s.ih * s.iw * s.c))};
}
Work work(const GatherSpec& s) { return {0, 2.0 * static_cast<double>(product(s.dims) * s.slice * size_of(s.dtype))}; }
Work work(const AttentionSpec& s) {
  const Work scores = work(s.scores), values = work(s.values);
  const double stored = static_cast<double>(s.scores.batch[0] * s.scores.batch[1] * s.scores.ow * s.scores.n);
  return {scores.flops + values.flops + 20 * stored, scores.bytes + values.bytes - 8 * stored};
}
Work work(const InvertedResidualSpec& s) {
  const Work expand = work(s.expand), depthwise = work(s.depthwise), project = work(s.project);
  const double pixels = static_cast<double>(s.expand.oh * s.expand.ow + s.project.oh * s.project.ow);
  const double unseen = static_cast<double>(s.depthwise.batch * s.depthwise.c) * pixels;
  return {expand.flops + depthwise.flops + project.flops, expand.bytes + project.bytes - 4 * unseen};
}
Work work(const ScanSpec& s) {
  const double n = static_cast<double>(product(s.dims) * s.count);
  return {s.kind == ScanKind::log_sum_exp ? 40 * n : n, n * 2 * static_cast<double>(size_of(s.dtype))};
}
Work work(const TapsSpec& s) {
  const double n = static_cast<double>(product(s.dims) * s.count);
  return {s.weighted ? 2 * n * static_cast<double>(s.taps) : 0, n * 2 * static_cast<double>(size_of(s.dtype))};
}

Work work(const SortSpec& s) {
  // A digit costs as much as some 150 operations; what is merely compared with a threshold, as 20.
  const double n = static_cast<double>(product(s.dims) * s.count), digits = static_cast<double>(size_of(s.dtype));
  const double few = s.first + s.taken < s.count / 8 ? 20 : 150 * digits;
  return {n * few, n * (digits + 8)};
}

Work work(const ScatterSpec& s) {
  const double n = static_cast<double>(product(s.dims) * product(s.serial));
  return {20 * n, n * static_cast<double>(2 * size_of(s.dtype) + size_of(s.index_dtype))};
}

}  // namespace

const char* family_name(const KernelSpec& spec) { return family_of(spec).name; }
std::string to_string(const KernelSpec& spec) {
  return std::visit([](const auto& s) { return text(s); }, spec);
}
double flops_of(const KernelSpec& spec) {
  return std::visit([](const auto& s) { return work(s).flops; }, spec);
}
double bytes_of(const KernelSpec& spec) {
  return std::visit([](const auto& s) { return work(s).bytes; }, spec);
}

size_t num_written(const KernelSpec& spec) {
  if (const auto* sort = std::get_if<SortSpec>(&spec)) return size_t{sort->has_values} + sort->has_indices;
  if (const auto* scan = std::get_if<ScanSpec>(&spec)) return size_t{scan->has_out} + scan->has_index;
  return 1;
}

int num_operands(const KernelSpec& spec) {
  struct Count {
    size_t operator()(const ContractionSpec& s) { return 3 + s.epilogue.operands.size(); }
    size_t operator()(const PackSpec&) { return 2; }
    size_t operator()(const DepthwiseSpec& s) { return 3 + s.epilogue.operands.size(); }
    size_t operator()(const MapSpec& s) { return 1 + s.inputs.size(); }
    size_t operator()(const ReduceSpec& s) { return 2 + s.epilogue.operands.size(); }
    size_t operator()(const NormSpec& s) { return 2u + s.has_scale + s.has_shift + s.epilogue.operands.size(); }
    size_t operator()(const WindowSpec& s) { return 2 + s.epilogue.operands.size(); }
    size_t operator()(const GatherSpec&) { return 4; }
    size_t operator()(const AttentionSpec& s) { return (s.late ? 6u : 4u) + s.scores.epilogue.operands.size(); }
    size_t operator()(const InvertedResidualSpec& s) {
      return 5 + s.expand.epilogue.operands.size() + s.depthwise.epilogue.operands.size() +
             s.project.epilogue.operands.size();
    }
    size_t operator()(const ScanSpec& s) { return 1u + s.has_out + s.has_index; }
    size_t operator()(const ScatterSpec&) { return 5; }
    size_t operator()(const SortSpec& s) { return 1u + s.has_values + s.has_indices; }
    size_t operator()(const TapsSpec& s) { return 3u + s.weighted + s.epilogue.operands.size(); }
  };
  return static_cast<int>(std::visit(Count{}, spec));
}

}  // namespace kiln
