#include "tests/support/kiln_writer.h"

#include <algorithm>

#include "format/kiln_file.h"
#include "format/model_generated.h"
#include "tests/support/seal_head.h"

namespace kiln::testing {
namespace {

std::unique_ptr<fb::AttrT> written(const SourceAttr& attr) {
  auto out = std::make_unique<fb::AttrT>();
  out->name = attr.name;
  if (const auto* i = std::get_if<int64_t>(&attr.value)) out->kind = fb::AttrKind::integer, out->i = *i;
  if (const auto* f = std::get_if<double>(&attr.value)) out->kind = fb::AttrKind::real, out->f = *f;
  if (const auto* b = std::get_if<bool>(&attr.value)) out->kind = fb::AttrKind::boolean, out->i = *b;
  if (const auto* s = std::get_if<std::string>(&attr.value)) out->kind = fb::AttrKind::text, out->s = *s;
  if (const auto* list = std::get_if<std::vector<int64_t>>(&attr.value))
    out->kind = fb::AttrKind::integers, out->ints = *list;
  if (const auto* list = std::get_if<std::vector<double>>(&attr.value))
    out->kind = fb::AttrKind::reals, out->reals = *list;
  out->symbols = attr.symbols;
  return out;
}

std::unique_ptr<fb::ValueT> written(const Value& value) {
  auto out = std::make_unique<fb::ValueT>();
  out->name = value.name;
  out->dtype = static_cast<fb::DType>(value.dtype);
  for (const Dim& d : value.shape) out->dims.emplace_back(d.value, d.symbol);
  out->segment = value.segment;
  out->data = value.data;
  return out;
}

}  // namespace

std::vector<uint8_t> write_head(const Graph& graph) {
  fb::ModelT m;
  m.version = kFormatVersion;
  m.head_hash = 1;  // any number but zero, so that there is a place for it
  m.name = graph.name;
  for (const Value& value : graph.values) m.values.push_back(written(value));
  for (const Node& node : graph.nodes) {
    auto out = std::make_unique<fb::NodeT>();
    const auto at = std::find(m.op_names.begin(), m.op_names.end(), node.source);
    out->op = static_cast<uint32_t>(at - m.op_names.begin());
    if (at == m.op_names.end()) m.op_names.push_back(node.source);
    out->inputs = node.inputs;
    out->outputs = node.outputs;
    out->where = node.where;
    for (const SourceAttr& attr : node.source_attrs) out->attrs.push_back(written(attr));
    m.nodes.push_back(std::move(out));
  }
  for (const Segment& s : graph.segments) {
    auto out = std::make_unique<fb::SegmentT>();
    out->offset = static_cast<uint64_t>(s.offset), out->size = static_cast<uint64_t>(s.size);
    out->rows = static_cast<uint64_t>(s.rows), out->row_spread = s.row_spread, out->column_spread = s.column_spread;
    m.segments.push_back(std::move(out));
  }
  m.weights_bytes = static_cast<uint64_t>(graph.weights_bytes);
  m.block_hashes.resize(static_cast<size_t>(ceil_div(graph.weights_bytes, kHashBlock)));
  m.block_digests.resize(m.block_hashes.size() * kDigestBytes);
  m.inputs = graph.inputs, m.outputs = graph.outputs;
  flatbuffers::FlatBufferBuilder builder;
  builder.FinishSizePrefixed(fb::Model::Pack(builder, &m), "KILN");
  std::vector<uint8_t> bytes{builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
  seal_head(bytes.data(), static_cast<int64_t>(bytes.size()));
  return bytes;
}

}  // namespace kiln::testing
