#include "tests/support/drawn_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/builder.h"
#include "ir/passes/passes.h"

namespace kiln::testing {
namespace {

using Ints = Draft::Ints;

constexpr int64_t kMostBytes = 256;  ///< of a constant in the file
/// Types of inputs. 16-bit floats come in only: rounded to one, what two backends compute may differ by its last bit.
constexpr DType kGiven[] = {DType::f32,     DType::i64, DType::i32, DType::u8,  DType::i8,  DType::f16,
                            DType::boolean, DType::i16, DType::u16, DType::u32, DType::bf16};
constexpr int64_t kUnknown = 1000000007;  ///< a size that no result has

Shape shape_of(const Ints& dims) { return Shape(dims.begin(), dims.end()); }

int64_t count_of(const Ints& dims) {
  int64_t count = 1;
  for (int64_t d : dims)
    if (d < 0 ||
        __builtin_mul_overflow(count, std::max<int64_t>(d, 1), &count))  // a zero hides nothing from the reader
      return std::numeric_limits<int64_t>::max();
  return count;
}

/// "float32[2x3]" at the beginning of `text`.
bool parse_type(const std::string& text, DType& dtype, Ints& dims) {
  const size_t open = text.find('['), close = text.find(']');
  if (open == std::string::npos || close == std::string::npos) return false;
  const std::string name = text.substr(0, open);
  const auto* type =
      std::find_if(std::begin(kComputed), std::end(kComputed), [&](DType t) { return name == name_of(t); });
  if (type == std::end(kComputed)) return false;
  dtype = *type;
  dims.clear();
  for (size_t at = open + 1; at < close; at = std::min(text.find('x', at), close) + 1)
    dims.push_back(std::atoll(text.c_str() + at));
  return true;
}

}  // namespace

ValueId Draft::input() {
  const int64_t ranks[] = {4, 2, 3, 1, 0, 5, 6, 7, 8};
  const int64_t of_rank = c.of(ranks);
  const bool large = options_.extremes && c.one_in(3);
  Ints dims;
  for (int64_t i = 0; i < of_rank; ++i) {
    const int64_t size = c.pick(1, of_rank > 4 ? 3 : 9);
    dims.push_back(c.one_in(40) ? 0 : large ? std::max<int64_t>(extreme(size), 0) : size);
  }
  while (!is_small({DType::f32, dims})) *std::max_element(dims.begin(), dims.end()) /= 2;
  const DType dtype = c.one_in(4) ? c.of(kGiven) : DType::f32;
  const ValueId id = g.add_value("x" + std::to_string(g.inputs.size()), dtype, shape_of(dims));
  g.inputs.push_back(id);
  values_.push_back(id);
  return id;
}

ValueId Draft::any() {
  const auto last = static_cast<int64_t>(values_.size()) - 1;
  return values_[static_cast<size_t>(last - c.pick(0, std::min<int64_t>(5, last)))];
}

ValueId Draft::any_of(DType dtype, int64_t least_rank) {
  const ValueId first = any();
  const auto fits = [&](ValueId id) { return g.value(id).dtype == dtype && rank(id) >= least_rank; };
  if (fits(first)) return first;
  const auto found = std::find_if(values_.rbegin(), values_.rend(), fits);
  return found == values_.rend() ? kNoValue : *found;
}

ValueId Draft::weight(const Ints& dims, bool large) {
  const Shape wanted = shape_of(dims);
  if (is_empty(wanted) || !(large || is_small({DType::f32, dims}))) return kNoValue;
  const auto again =
      std::find_if(weights_.rbegin(), weights_.rend(), [&](ValueId w) { return g.value(w).shape == wanted; });
  if (again != weights_.rend() && c.one_in(2)) return *again;
  const ValueId id = g.add_value("w" + std::to_string(weights_.size()), DType::f32, wanted);
  Segment s;
  s.offset = g.weights_bytes, s.size = element_count(wanted) * 4;
  if (dims.size() > 1) s.rows = dims[0], s.row_spread = s.column_spread = 1;
  g.weights_bytes += round_up(s.size, 64);
  g.value(id).segment = static_cast<int>(g.segments.size());
  g.segments.push_back(s);
  weights_.push_back(id);
  if (!large && c.one_in(4)) values_.push_back(id);
  return id;
}

ValueId Draft::constant(const std::vector<double>& numbers, const Ints& dims, DType dtype) {
  if (numbers.empty() || static_cast<int64_t>(numbers.size()) * size_of(dtype) > kMostBytes) return kNoValue;
  const ValueId id = g.add_value("", dtype, shape_of(dims));
  g.value(id).data = write_constant(numbers, dtype);
  return id;
}

int64_t Draft::extreme(int64_t mild) {
  if (!options_.extremes || !c.one_in(4)) return mild;
  const int64_t shift = c.pick(0, 63), near = c.pick(-1, 1);
  switch (c.pick(0, 3)) {
    case 0:
      return near;
    case 1:
      return static_cast<int64_t>((uint64_t{1} << shift) + static_cast<uint64_t>(near));
    case 2:
      return static_cast<int64_t>(-(uint64_t{1} << shift) + static_cast<uint64_t>(near));
    default: {
      const int64_t common[] = {int64_t{1} << 30, int64_t{1} << 31, int64_t{1} << 32, int64_t{1} << 53,
                                int64_t{1} << 62, INT64_MAX,        INT64_MIN,        65536};
      return static_cast<int64_t>(static_cast<uint64_t>(c.of(common)) + static_cast<uint64_t>(near));
    }
  }
}

Ints Draft::numbers(size_t count, int64_t low, int64_t high) {
  Ints out;
  for (size_t i = 0; i < count; ++i) out.push_back(number(low, high));
  return out;
}

double Draft::real(double mild) {
  if (!options_.extremes || !c.one_in(4)) return mild;
  const double list[] = {0,   -1,     INFINITY, -INFINITY, NAN, std::numeric_limits<double>::max(),
                         1e9, 0x1p31, 0x1p63,   1e-300};
  return c.of(list);
}

int64_t Draft::axis(ValueId x) {
  const int64_t n = std::max<int64_t>(rank(x), 1);
  return extreme(c.pick(0, n - 1) - (c.one_in(3) ? n : 0));
}

Ints Draft::axes(ValueId x) {
  Ints out;
  for (int64_t i = 0; i < rank(x); ++i)
    if (c.one_in(2)) out.push_back(i);
  if (out.empty() && rank(x)) out.push_back(rank(x) - 1);
  return out;
}

bool Draft::is_small(const Type& type) const {
  const int64_t count = count_of(type.dims);
  if (!options_.extremes) return count <= options_.elements;
  // The bytes of a weight need not be there; only what the reader refuses anyway is not drawn.
  return count <= int64_t{1} << 40;
}

/// The compiler is asked with results of impossible shapes, and says of one after the other what it is.
bool Draft::settle_types(const Node& node, std::vector<Type>& types) const {
  Graph trial;
  Node asked = node;
  asked.outputs.clear();
  for (ValueId& id : asked.inputs) {
    if (id == kNoValue) continue;
    const Value& operand = g.value(id);
    id = trial.add_value("x" + std::to_string(trial.values.size()), operand.dtype, operand.shape);
    trial.value(id).data = operand.data;
    if (!operand.is_constant()) trial.inputs.push_back(id);
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (!types[i].is_known) types[i].dims = {kUnknown + static_cast<int64_t>(i)};
    asked.outputs.push_back(trial.add_value("y" + std::to_string(i), types[i].dtype, shape_of(types[i].dims)));
  }
  trial.outputs = asked.outputs;
  trial.nodes.push_back(asked);
  for (size_t tries = 0; tries <= types.size(); ++tries) {
    const auto legal = legalize(trial);
    if (legal.ok()) return true;
    const std::string said = "the file gives its output as ", is = ", but it computes ";
    const std::string& message = legal.error().message;
    const size_t said_at = message.find(said), is_at = message.find(is);
    Type given, computed;
    if (said_at == std::string::npos || is_at == std::string::npos) return false;
    if (!parse_type(message.substr(said_at + said.size()), given.dtype, given.dims)) return false;
    if (!parse_type(message.substr(is_at + is.size()), computed.dtype, computed.dims)) return false;
    const auto at = std::find_if(types.begin(), types.end(), [&](const Type& t) { return t.dims == given.dims; });
    if (at == types.end() || at->is_known) return false;
    *at = computed;
    Value& result = trial.value(asked.outputs[static_cast<size_t>(at - types.begin())]);
    result.dtype = computed.dtype, result.shape = shape_of(computed.dims);
  }
  return false;
}

bool Draft::add(const std::string& name, std::vector<ValueId> inputs, std::vector<SourceAttr> attrs,
                std::vector<Type> types) {
  Node node;
  node.source = name;
  node.where = "node " + std::to_string(g.nodes.size());
  node.inputs = std::move(inputs);
  node.source_attrs = std::move(attrs);
  if (!settle_types(node, types)) return false;
  if (!std::all_of(types.begin(), types.end(), [&](const Type& t) { return is_small(t); })) return false;
  for (const Type& type : types) {
    node.outputs.push_back(g.add_value("v" + std::to_string(g.values.size()), type.dtype, shape_of(type.dims)));
    values_.push_back(node.outputs.back());
  }
  g.nodes.push_back(std::move(node));
  return true;
}

Graph Draft::finish() {
  const int64_t inputs = c.pick(1, 3), nodes = c.pick(1, options_.nodes);
  for (int64_t i = 0; i < inputs; ++i) input();
  for (int64_t tries = 0; tries < 4 * nodes && static_cast<int64_t>(g.nodes.size()) < nodes && !c.over(); ++tries)
    c.one_in(2) ? draw_moving_node(*this) : draw_computing_node(*this);
  const auto output = [&](ValueId id) {
    if (std::find(g.outputs.begin(), g.outputs.end(), id) == g.outputs.end()) g.outputs.push_back(id);
  };
  output(values_.back());
  for (int64_t i = c.pick(0, 2); i-- > 0;) output(any());
  return std::move(g);
}

Graph draw_model(Choices& choices, const DrawOptions& options) { return Draft(choices, options).finish(); }

}  // namespace kiln::testing
