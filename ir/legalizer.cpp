#include "ir/legalizer.h"

#include <algorithm>

#include "ir/onnx/find.h"

namespace kiln {

Legalizer::Legalizer(const Graph& source_graph, Graph& out)
    : b(out),
      source(source_graph),
      mapped_(source_graph.values.size(), kNoValue),
      reads_(source_graph.values.size(), 0) {
  out.name = source.name;
  b.folds = states_no_types(source);
  out.symbols = source.symbols;
  out.segments = source.segments;
  out.weights_bytes = source.weights_bytes;
  out.block_hashes = source.block_hashes;
  out.block_digests = source.block_digests;
  const auto keep = [&](ValueId id) {
    if (mapped_[static_cast<size_t>(id)] != kNoValue) return;
    out.values.push_back(source.value(id));
    mapped_[static_cast<size_t>(id)] = static_cast<ValueId>(out.values.size() - 1);
  };
  for (ValueId id : source.inputs) keep(id);
  for (size_t i = 0; i < source.values.size(); ++i) {
    const Value& v = source.values[i];
    if (v.is_weight() || v.is_constant() || (b.folds && v.typed && is_empty(v.shape))) keep(static_cast<ValueId>(i));
  }
  for (ValueId id : source.inputs) out.inputs.push_back(find(id));
  for (const Node& node : source.nodes) each_read(node, [&](ValueId id) { ++reads_[static_cast<size_t>(id)]; });
  for (ValueId id : source.outputs) ++reads_[static_cast<size_t>(id)];
  for (size_t i = 0; i < mapped_.size(); ++i)
    if (reads_[i] > 0 && mapped_[i] != kNoValue) mapped_[i] = widened(mapped_[i]);
}

/// An input, a weight or a constant of 16-bit floats as float32, in which it is computed.
ValueId Legalizer::widened(ValueId id) {
  const Value& v = b.value(id);
  if (!is_half(v.dtype)) return id;
  if (v.is_constant()) return b.constant(DType::f32, v.shape, write_numbers(read_numbers(v), DType::f32));
  const auto made = b.cast(id, DType::f32);
  return made.ok() ? *made : id;
}

Status Legalizer::legalize(const Node& node) {
  const OpRow* row = find_op(node.source);
  if (!row && !kFull)
    return Error{ErrorCode::incomplete,
                 "the model has the operator " + node.source + ", which only the full compiler may know", node.where};
  if (!row) return unsupported(node, "the operator is not supported");
  for (ValueId id : node.inputs) {
    if (id == kNoValue || find(id) != kNoValue) continue;
    return not_computed(id);
  }
  b.set_origin(node);
  numbers_.clear();
  read_.clear();
  const size_t first = b.graph.nodes.size();
  Status status = row->legalize(*this, node);
  if (status.ok() && error_) status = *error_;
  if (status.ok() && !bounds_.empty()) status = follow_bounds(node, first);
  if (status.ok() && b.folds) status = onnx_all_read(*this, node, read_);
  if (status.ok()) status = b.within_budget();
  error_.reset();
  if (status.ok()) return status;
  Error error = status.error();
  if (error.where.empty()) error.where = node.where.empty() ? node.source : node.where;
  return error;
}

Result<const Body*> Legalizer::body(const Node& node, std::string_view name) const {
  for (const Body& body : node.bodies)
    if (body.name == name) return &body;
  return misfit(node.source + ": the graph '" + std::string(name) + "' is missing");
}

Result<std::vector<ValueId>> Legalizer::run(const Node& node, const Body& body, const std::vector<ValueId>& operands) {
  if (body.inputs.size() != operands.size())
    return misfit(node.source + ": its graph takes " + std::to_string(body.inputs.size()) + " values, and gets " +
                  std::to_string(operands.size()));
  for (size_t i = 0; i < operands.size(); ++i) mapped_[static_cast<size_t>(body.inputs[i])] = operands[i];
  const std::vector<int> read = std::move(read_);
  for (const Node& inner : body.nodes) {
    if (left_in_loops_ == 0) return unsupported(node, "the graphs inside of nodes stand for too many operations");
    --left_in_loops_;
    for (ValueId id : inner.outputs)  // of the round before
      if (id != kNoValue) mapped_[static_cast<size_t>(id)] = kNoValue;
    const Status status = legalize(inner);
    if (status.ok()) continue;
    Error error = status.error();
    error.message += " (in " + error.where + ")";
    error.where.clear();
    return error;
  }
  read_ = read;
  numbers_.clear();
  b.set_origin(node);
  std::vector<ValueId> results;
  for (ValueId id : body.outputs) {
    if (find(id) == kNoValue) return not_computed(id);
    results.push_back(find(id));
  }
  return results;
}

Error Legalizer::not_computed(ValueId source_value) const {
  for (const Node& producer : source.nodes) {
    const auto at = std::find(producer.outputs.begin(), producer.outputs.end(), source_value);
    if (at != producer.outputs.end())
      return unsupported(producer, "output " + std::to_string(at - producer.outputs.begin()) +
                                       " is read, but cannot be computed here");
  }
  return misfit("'" + source.value(source_value).name + "' is never computed");
}

ValueId Legalizer::in(const Node& node, size_t i) const {
  return i < node.inputs.size() && node.inputs[i] != kNoValue ? find(node.inputs[i]) : kNoValue;
}

Result<ValueId> Legalizer::need(const Node& node, size_t i) const {
  const ValueId id = in(node, i);
  if (id == kNoValue) return misfit(node.source + ": operand " + std::to_string(i) + " is missing");
  return id;
}

Result<ValueId> Legalizer::need_f32(const Node& node, size_t i) {
  KILN_ASSIGN(const ValueId id, need(node, i));
  return b.cast(id, DType::f32);
}

Result<ValueId> Legalizer::tensor_or_number(const Node& node, size_t i, const char* name) {
  const ValueId id = in(node, i);
  if (id != kNoValue) return id;
  const SourceAttr* attr = find_attr(node, name);
  if (!attr) return misfit(node.source + ": the argument '" + name + "' is missing");
  if (const auto* v = std::get_if<int64_t>(&attr->value))
    numbers_.push_back(b.integers({*v}, {}));
  else if (const auto* truth = std::get_if<bool>(&attr->value))
    numbers_.push_back(b.scalar(*truth ? 1 : 0, DType::boolean));
  else
    numbers_.push_back(b.scalar(number(node, name, 0), DType::f32));
  return numbers_.back();
}

namespace {

int category(DType t) { return t == DType::boolean ? 0 : lane_of(t) == Lane::f32 ? 2 : 1; }

DType wider(DType a, DType b) {
  if (category(a) != category(b)) return category(a) > category(b) ? a : b;
  if (category(a) != 1 || is_signed(a) == is_signed(b)) return size_of(a) >= size_of(b) ? a : b;
  const DType wide = is_signed(a) ? a : b;  // a signed one that holds both
  const int64_t least = 2 * size_of(is_signed(a) ? b : a);
  if (size_of(wide) >= least) return wide;
  return least == 2 ? DType::i16 : least == 4 ? DType::i32 : DType::i64;
}

}  // namespace

/// First tensors with dims, then 0-d tensors, then numbers. A later group counts only if its category is higher
/// (booleans, integers, reals).
DType Legalizer::common_dtype(const std::vector<ValueId>& operands) const {
  std::optional<DType> ranks[3];
  for (ValueId id : operands) {
    const Value& v = b.value(id);
    const bool number = std::find(numbers_.begin(), numbers_.end(), id) != numbers_.end();
    std::optional<DType>& at = ranks[number ? 2 : v.shape.empty() ? 1 : 0];
    at = at ? wider(*at, v.dtype) : v.dtype;
  }
  std::optional<DType> common;
  for (const auto& rank : ranks)
    if (rank && (!common || category(*rank) > category(*common))) common = rank;
  return common.value_or(DType::boolean);
}

Result<DType> Legalizer::promote(std::vector<ValueId>& operands) {
  const DType common = common_dtype(operands);
  for (ValueId& id : operands) {
    const DType own = b.value(id).dtype;
    const bool fits = size_of(own) < size_of(common) && (is_signed(common) || !is_signed(own));
    if (category(common) != 1 || category(own) != 1 || own == common || fits) continue;
    const bool number = std::find(numbers_.begin(), numbers_.end(), id) != numbers_.end();
    if (!number) {
      KILN_ASSIGN(id, b.cast(id, common));
      continue;
    }
    id = b.constant(common, {}, write_numbers(read_numbers(b.value(id)), common));  // wrapped
  }
  return common;
}

/// Outputs that nobody reads may have no value.
bool Legalizer::stated(const Node& node, size_t index) const {
  return index < node.outputs.size() && node.outputs[index] != kNoValue;
}

DType Legalizer::stated(ValueId source_value) const {
  const Value* v = said(source_value);
  return v && v->typed ? v->dtype : DType::f32;
}

/// What the source graph says of a value; null of the operands and results of call().
const Value* Legalizer::said(ValueId source_value) const {
  return static_cast<size_t>(source_value) < source.values.size() ? &source.value(source_value) : nullptr;
}

Status Legalizer::set(const Node& node, ValueId value, size_t index) {
  if (!stated(node, index)) return ok();
  const ValueId at = node.outputs[index];
  KILN_ASSIGN(value, b.cast(value, computed_in(b.value(value).dtype)));  // what a row rounded to 16 bits
  const Value* stated_type = said(at);
  const Value& is = b.value(value);
  const bool typed = stated_type && stated_type->typed;
  if (typed && stated_type->shape != is.shape)
    return misfit(node.source + ": the file gives its output as " + name_of(stated_type->dtype) + "[" +
                  to_string(stated_type->shape) + "], but it computes " + name_of(is.dtype) + "[" +
                  to_string(is.shape) + "]");
  // What PyTorch computes in this type, and nothing here does.
  if (typed && computed_in(stated_type->dtype) != is.dtype)
    return unsupported(node, std::string("its result is ") + name_of(stated_type->dtype) + ", and only " +
                                 name_of(is.dtype) + " can be computed here");
  mapped_[static_cast<size_t>(at)] = value;
  return ok();
}

Status Legalizer::set_parts(const Node& node, ValueId x, int64_t axis, const std::vector<int64_t>& sizes) {
  const int64_t whole = b.shape(x)[static_cast<size_t>(axis)].value;
  int64_t at = 0;
  for (size_t i = 0; i < sizes.size() && i < node.outputs.size(); ++i) {
    if (sizes[i] < 0 || sizes[i] > whole - at) return misfit(node.source + ": the parts are larger than the whole");
    if (wants(node, i)) {
      KILN_ASSIGN(const ValueId part, b.slice_axis(x, axis, at, sizes[i]));
      KILN_TRY(set(node, part, i));
    }
    at += sizes[i];
  }
  return ok();
}

Result<ValueId> Legalizer::call(const char* name, const std::vector<ValueId>& operands, std::vector<SourceAttr> attrs) {
  KILN_ASSIGN(const std::vector<ValueId> results, call_all(name, 1, operands, std::move(attrs)));
  return results[0];
}

Result<std::vector<ValueId>> Legalizer::call_all(const char* name, size_t results, const std::vector<ValueId>& operands,
                                                 std::vector<SourceAttr> attrs) {
  const OpRow* row = find_op(name);
  if (!row) return Error{ErrorCode::internal, std::string("there is no row ") + name, ""};
  Node node;
  node.source = name;
  node.source_attrs = std::move(attrs);
  const size_t mark = mapped_.size();
  for (const ValueId id : operands) {
    node.inputs.push_back(id == kNoValue ? kNoValue : static_cast<ValueId>(mapped_.size()));
    if (id != kNoValue) mapped_.push_back(id);
  }
  const size_t first = mapped_.size();
  for (size_t i = 0; i < results; ++i) {
    node.outputs.push_back(static_cast<ValueId>(mapped_.size()));
    mapped_.push_back(kNoValue);
  }
  const Status status = row->legalize(*this, node);
  const std::vector<ValueId> made(mapped_.begin() + static_cast<std::ptrdiff_t>(first), mapped_.end());
  mapped_.resize(mark);
  if (!status.ok()) return status.error();
  if (error_) return *error_;
  if (std::find(made.begin(), made.end(), kNoValue) != made.end())
    return Error{ErrorCode::internal, std::string(name) + " made nothing", ""};
  return made;
}

Result<std::vector<Number>> Legalizer::elements(const Node& node, size_t i, const char* wanted_for) const {
  KILN_ASSIGN(const ValueId id, need(node, i));
  const Value& v = b.value(id);
  if (is_empty(v.shape)) return std::vector<Number>{};
  if (!v.is_constant())
    return unsupported(node, std::string(wanted_for) +
                                 " must be known when the model is loaded, and here depends on what it is run on");
  return read_numbers(v);
}

Result<std::vector<int64_t>> Legalizer::whole_elements(const Node& node, size_t i, const char* wanted_for) const {
  KILN_ASSIGN(const std::vector<Number> numbers, elements(node, i, wanted_for));
  std::vector<int64_t> out;
  for (const Number& n : numbers) out.push_back(n.whole);
  return out;
}

void Legalizer::assume_outputs(const Node& node) {
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!wants(node, i)) continue;
    const Value& v = source.value(node.outputs[i]);
    if (v.typed) mapped_[static_cast<size_t>(node.outputs[i])] = b.graph.add_value("", computed_in(v.dtype), v.shape);
  }
}

bool Legalizer::wants(const Node& node, size_t index) const {
  if (!stated(node, index)) return false;
  const auto at = static_cast<size_t>(node.outputs[index]);
  return at >= reads_.size() || reads_[at] > 0;
}

const SourceAttr* Legalizer::find_attr(const Node& node, std::string_view name) const {
  for (const SourceAttr& attr : node.source_attrs)
    if (attr.name == name) {
      if (b.folds) read_.push_back(static_cast<int>(&attr - node.source_attrs.data()));
      return std::holds_alternative<std::monostate>(attr.value) ? nullptr : &attr;
    }
  return nullptr;
}

void Legalizer::wrong(const Node& node, std::string_view name, const char* expected) {
  if (!error_) error_ = misfit(node.source + ": the argument '" + std::string(name) + "' should be " + expected);
}

bool Legalizer::has(const Node& node, std::string_view name) const { return find_attr(node, name) != nullptr; }

int64_t Legalizer::integer(const Node& node, std::string_view name, int64_t fallback) {
  const SourceAttr* attr = find_attr(node, name);
  if (!attr) return fallback;
  if (const auto* v = std::get_if<int64_t>(&attr->value)) return *v;
  if (const auto* v = std::get_if<bool>(&attr->value)) return *v;
  if (const auto* v = std::get_if<std::vector<int64_t>>(&attr->value); v && v->size() == 1) return (*v)[0];
  wrong(node, name, "an integer");
  return fallback;
}

double Legalizer::number(const Node& node, std::string_view name, double fallback) {
  const SourceAttr* attr = find_attr(node, name);
  if (!attr) return fallback;
  if (const auto* v = std::get_if<double>(&attr->value)) return *v;
  if (const auto* v = std::get_if<int64_t>(&attr->value)) return static_cast<double>(*v);
  if (const auto* v = std::get_if<bool>(&attr->value)) return *v ? 1 : 0;
  wrong(node, name, "a number");
  return fallback;
}

Number Legalizer::any_number(const Node& node, std::string_view name) {
  const SourceAttr* attr = find_attr(node, name);
  const auto* whole = attr ? std::get_if<int64_t>(&attr->value) : nullptr;
  if (whole) return {static_cast<double>(*whole), *whole};
  const double real = number(node, name, 0);
  return {real, whole_part(real)};
}

DType Legalizer::number_type(const Node& node, std::string_view name) const {
  const SourceAttr* attr = find_attr(node, name);
  if (attr && std::holds_alternative<double>(attr->value)) return DType::f32;
  return attr && std::holds_alternative<bool>(attr->value) ? DType::boolean : DType::i64;
}

bool Legalizer::flag(const Node& node, std::string_view name, bool fallback) {
  const SourceAttr* attr = find_attr(node, name);
  if (!attr) return fallback;
  if (const auto* v = std::get_if<bool>(&attr->value)) return *v;
  if (const auto* v = std::get_if<int64_t>(&attr->value)) return *v != 0;
  wrong(node, name, "a boolean");
  return fallback;
}

std::string Legalizer::text(const Node& node, std::string_view name, std::string fallback) {
  const SourceAttr* attr = find_attr(node, name);
  if (!attr) return fallback;
  if (const auto* v = std::get_if<std::string>(&attr->value)) return *v;
  wrong(node, name, "a string");
  return fallback;
}

std::vector<std::string> Legalizer::texts(const Node& node, std::string_view name) {
  const std::string lines = text(node, name, "");
  std::vector<std::string> list;
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    list.push_back(lines.substr(at, end - at));
    at = end + 1;
  }
  return list;
}

DType Legalizer::dtype(const Node& node, std::string_view name, DType fallback) {
  return computed_in(stored_dtype(node, name, fallback));
}

DType Legalizer::stored_dtype(const Node& node, std::string_view name, DType fallback) {
  const std::string given = text(node, name, name_of(fallback));
  for (int i = 0; i < kNumDTypes; ++i)
    if (given == kDTypes[i].name) return static_cast<DType>(i);
  wrong(node, name, "a type of tensors that there is");
  return fallback;
}

std::vector<int64_t> Legalizer::integers(const Node& node, std::string_view name) {
  const SourceAttr* attr = find_attr(node, name);
  if (!attr) return {};
  if (const auto* v = std::get_if<std::vector<int64_t>>(&attr->value)) return *v;
  if (const auto* v = std::get_if<int64_t>(&attr->value)) return {*v};
  if (const auto* v = std::get_if<std::vector<double>>(&attr->value); v && v->empty()) return {};
  wrong(node, name, "a list of integers");
  return {};
}

std::vector<double> Legalizer::numbers(const Node& node, std::string_view name) {
  const SourceAttr* attr = find_attr(node, name);
  if (!attr) return {};
  if (const auto* v = std::get_if<std::vector<double>>(&attr->value)) return *v;
  const std::vector<int64_t> whole = integers(node, name);
  return {whole.begin(), whole.end()};
}

std::array<int64_t, 2> Legalizer::pair(const Node& node, std::string_view name, int64_t fallback) {
  const std::vector<int64_t> list = integers(node, name);
  if (list.empty()) return {fallback, fallback};
  if (list.size() == 1) return {list[0], list[0]};
  if (list.size() > 2) wrong(node, name, "a list of two integers");
  return {list[0], list[1]};
}

Result<int64_t> Legalizer::axis(int64_t value, int64_t rank) const {
  const int64_t n = std::max<int64_t>(rank, 1);
  if (value < -n || value >= n)
    return misfit("axis " + std::to_string(value) + " is out of range for " + std::to_string(rank) + " dims");
  return value < 0 ? value + n : value;
}

Result<std::vector<int64_t>> Legalizer::axes(const std::vector<int64_t>& values, int64_t rank) const {
  std::vector<int64_t> out;
  for (int64_t v : values) {
    KILN_ASSIGN(const int64_t a, axis(v, rank));
    out.push_back(a);
  }
  return out;
}

Error Legalizer::unsupported(const Node& node, const std::string& what) const {
  return Error{ErrorCode::unsupported_operator, node.source + ": " + what, node.where};
}

double given_scale(Legalizer& l, const Node& node, size_t i, size_t dims) {
  const std::vector<double> factors = l.numbers(node, "scale_factors");
  if (!factors.empty()) return factors.size() == dims ? factors[i] : 0;
  return l.number(node, i + 1 == dims ? "scales_w" : "scales_h", 0);
}

}  // namespace kiln
