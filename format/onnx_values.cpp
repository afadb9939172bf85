#include "format/onnx_values.h"

#include <algorithm>

#include "format/kiln_file.h"
#include "support/budget.h"
#include "support/text.h"

namespace kiln {
namespace {

/// Bytes of a constant that the compiler sees: integers, which are sizes and axes mostly, and reals.
constexpr int64_t kMaxInline = 65536, kMaxInlineReals = 256;
constexpr int64_t kMaxElements = int64_t{1} << 40;  ///< as of .kiln files
constexpr size_t kMaxRank = 64;                     ///< the compiler says which of these it takes
constexpr int64_t kMaxWeights = int64_t{1} << 46;

Result<DType> dtype_of(int32_t type, std::string_view name) {
  for (int i = 0; i < kNumDTypes; ++i)
    if (kDTypes[i].onnx == type) return static_cast<DType>(i);
  return unsupported_onnx(quoted(name) + " is " + onnx::name_of(type) +
                          ", which is not computed here: convert it to float32 where it can be");
}

/// External data lies beside the model: its name leads nowhere else.
Status plain_location(const onnx::Tensor& t) {
  const std::string& path = t.location;
  bool inside = !path.empty() && path.size() <= kMaxText && is_plain(path) && path[0] != '/' &&
                path.find_first_of("\\:") == path.npos;
  for (size_t at = 0; inside && at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    inside = !part.empty() && part != "..";
    at = end + 1;
  }
  return inside ? ok() : bad_onnx("the tensor " + quoted(t.name) + " lies in a file outside the model's folder");
}

}  // namespace

Error bad_onnx(std::string message, std::string where) {
  return {ErrorCode::bad_file, "this .onnx file is damaged or inconsistent: " + std::move(message), std::move(where)};
}

Error unsupported_onnx(std::string message, std::string where) {
  return {ErrorCode::unsupported_operator, std::move(message), std::move(where)};
}

std::string quoted(std::string_view name) {
  constexpr size_t kShown = 200;
  std::string text = "'";
  while (!name.empty() && text.size() < kShown) {
    const size_t size = printable(name);
    text += size ? std::string(name.substr(0, size)) : "?";
    name.remove_prefix(std::max<size_t>(size, 1));
  }
  return text + (name.empty() ? "'" : "…'");
}

OnnxValues::OnnxValues(std::string_view file, int64_t of_bytes)
    : file_(file),
      of_bytes_(of_bytes),
      unclaimed_(of_bytes),
      left_(unfolded_limit(std::min(static_cast<int64_t>(file.size()), kMaxHeadBytes))) {}

Status OnnxValues::unfold(size_t bytes, const std::string& where, std::initializer_list<std::string_view> texts) {
  for (const std::string_view text : texts) {
    if (text.size() > kMaxText) return bad_onnx("a text of " + std::to_string(text.size()) + " bytes", where);
    if (!is_plain(text)) return bad_onnx("a text with characters that cannot be shown: " + quoted(text), where);
    bytes += text.size();
  }
  left_ -= static_cast<int64_t>(bytes);
  return left_ < 0 ? bad_onnx("it unfolds to far more than it holds", where) : ok();
}

int OnnxValues::symbol(const std::string& name) {
  const auto [at, is_new] = symbols_.emplace(name, static_cast<int>(out.graph.symbols.size()));
  if (is_new) out.graph.symbols.push_back({name, 1, 0, {}});
  return at->second;
}

Result<ValueId> OnnxValues::input(const onnx::Port& p) {
  const std::string name = quoted(p.name);
  KILN_TRY(unfold(sizeof(Value) + p.dims.size() * sizeof(Dim), name, {p.name}));
  if (p.type == 0) return unsupported_onnx("the input " + name + " is a sequence, an optional or a map");
  KILN_ASSIGN(const DType dtype, dtype_of(p.type, p.name));
  if (!p.ranked) return unsupported_onnx("the input " + name + " has no shape: say how many dims it has");
  if (p.dims.size() > kMaxRank) return unsupported_onnx("the input " + name + " has too many dims");
  Shape shape;
  int64_t span = 1;
  for (size_t i = 0; i < p.dims.size(); ++i) {
    const onnx::Dim& d = p.dims[i];
    if (d.size >= 0 && d.symbol.empty()) {
      if (__builtin_mul_overflow(span, std::max<int64_t>(d.size, 1), &span) || span > kMaxElements)
        return bad_onnx("the input " + name + " has an impossible shape");
      shape.push_back(Dim(d.size));
      continue;
    }
    const bool nameless = d.symbol.empty() || d.symbol == "?";  // Paddle's word for a dim of any size
    const std::string dim = std::string(p.name) + "." + std::to_string(i), symbol_name(nameless ? "" : d.symbol);
    KILN_TRY(unfold(sizeof(Symbol) + dim.size(), name, {d.symbol}));
    shape.push_back(Dim::make_symbol(symbol(symbol_name.empty() ? dim : symbol_name), 1));
  }
  out.graph.inputs.push_back(out.graph.add_value(std::string(p.name), dtype, std::move(shape)));
  return out.graph.inputs.back();
}

Result<ValueId> OnnxValues::computed(std::string_view name) {
  KILN_TRY(unfold(sizeof(Value), "", {name}));
  const ValueId id = out.graph.add_value(std::string(name), DType::f32, {});
  out.graph.value(id).typed = false;
  return id;
}

Result<ValueId> OnnxValues::tensor(const onnx::Tensor& t) {
  if (const auto known = tensors_.find(&t); known != tensors_.end()) return known->second;
  KILN_ASSIGN(const ValueId id, made_tensor(t));
  return tensors_[&t] = id;
}

Result<ValueId> OnnxValues::made_tensor(const onnx::Tensor& t) {
  const std::string name = quoted(t.name);
  KILN_TRY(unfold(sizeof(Value) + t.dims.size() * sizeof(Dim) + t.made.size(), name, {t.name}));
  KILN_ASSIGN(const DType dtype, dtype_of(t.type, t.name));
  if (t.dims.size() > kMaxRank) return unsupported_onnx("the tensor " + name + " has too many dims");
  int64_t count = 1, span = 1;  // a zero hides what its neighbours' strides come to
  Shape shape;
  for (const int64_t d : t.dims) {
    if (d < 0 || __builtin_mul_overflow(span, std::max<int64_t>(d, 1), &span) || span > kMaxElements)
      return bad_onnx("the tensor " + name + " has an impossible shape");
    count *= d;
    shape.push_back(Dim(d));
  }
  const int64_t bytes = count * size_of(dtype);
  const int64_t stored = t.external ? t.length < 0 ? bytes : t.length : static_cast<int64_t>(t.bytes().size());
  if (stored != bytes)
    return bad_onnx("the tensor " + name + " has " + std::to_string(stored) + " bytes, its shape and type make " +
                    std::to_string(bytes));
  const ValueId id = out.graph.add_value(std::string(t.name), dtype, std::move(shape));
  if (bytes > 0) KILN_TRY(store(t, id, bytes));
  return id;
}

/// Tensors lie in the file, and all together are no more than it.
Status OnnxValues::within_file(const onnx::Tensor& t, int64_t bytes) {
  if (t.offset > of_bytes_ - bytes)
    return bad_onnx("the tensor " + quoted(t.name) + " lies beyond the end of the file");
  if (!shared_.count({t.location, t.offset, bytes})) unclaimed_ -= bytes;
  return unclaimed_ < 0 ? bad_onnx("its tensors are more than the file") : ok();
}

Status OnnxValues::store(const onnx::Tensor& t, ValueId id, int64_t bytes) {
  Value& value = out.graph.value(id);
  const bool real = lane_of(value.dtype) == Lane::f32;
  if (!t.external && bytes <= (real ? kMaxInlineReals : kMaxInline)) {
    KILN_TRY(unfold(static_cast<size_t>(bytes), value.name));
    const std::string_view data = t.bytes();
    value.data.assign(data.begin(), data.end());
    if (value.dtype == DType::boolean)
      for (uint8_t& b : value.data) b = b != 0;
    return ok();
  }
  OnnxWeights weights;
  weights.made = t.made;
  if (t.external) {
    KILN_TRY(of_bytes_ >= 0 && t.location.empty() ? within_file(t, bytes) : plain_location(t));
    weights.external = t.location, weights.offset = t.offset;
    const auto [at, is_new] =
        shared_.emplace(std::make_tuple(t.location, t.offset, bytes), static_cast<int>(out.graph.segments.size()));
    if (value.segment = at->second; !is_new) return ok();
  } else if (t.made.empty() && of_bytes_ < 0) {
    weights.offset = t.raw.data() - file_.data();
  } else if (t.made.empty()) {
    KILN_TRY(unfold(t.raw.size(), value.name));
    weights.made.assign(t.raw.begin(), t.raw.end());
  }
  KILN_TRY(unfold(sizeof(Segment) + sizeof weights + weights.external.size(), value.name));
  Graph& g = out.graph;
  Segment segment;
  segment.offset = round_up(g.weights_bytes, kSegmentAlign);
  segment.size = bytes;
  g.weights_bytes = segment.offset + bytes;
  if (g.weights_bytes > kMaxWeights) return bad_onnx("its weights are too large");
  value.segment = static_cast<int>(g.segments.size());
  g.segments.push_back(segment);
  out.weights.push_back(std::move(weights));
  return ok();
}

}  // namespace kiln
