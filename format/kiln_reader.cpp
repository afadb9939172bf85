#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "format/kiln_file.h"
#include "format/model_generated.h"
#include "support/budget.h"
#include "support/text.h"

namespace kiln {
namespace {

/// A tensor's elements and every partial product of its dims stay below this, so that strides and byte offsets cannot
/// overflow.
constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr size_t kMaxRank = 64;  ///< PyTorch's; the compiler says which of these it takes
constexpr size_t kMaxCode = 4096;
constexpr size_t kMaxNodes = 1 << 20;
constexpr int64_t kMaxInline = 1 << 20;

Error bad(std::string message, std::string where = "") {
  return {ErrorCode::bad_file, "this .kiln file is damaged or was not made by wasmkiln: " + std::move(message),
          std::move(where)};
}

template <class V>
size_t size_or_zero(const V* v) {
  return v ? v->size() : 0;
}
/// Copied by bytes: FlatBuffers' verifier does not check that the elements of a vector are aligned.
template <class T, class V>
std::vector<T> elements_of(const V* v) {
  std::vector<T> out(size_or_zero(v));
  if (!out.empty()) std::memcpy(out.data(), v->Data(), out.size() * sizeof(T));
  return out;
}
std::string text_or_empty(const flatbuffers::String* s) { return s ? s->str() : std::string(); }

class Reader {
 public:
  Reader(const fb::Model& model, const HeadLayout& layout, int64_t file_bytes)
      : m_(model), layout_(layout), file_bytes_(file_bytes), left_(unfolded_limit(layout.head_bytes)) {}

  Result<Graph> run(const uint8_t* head) {
    KILN_TRY(version());
    KILN_TRY(checksum(head));
    KILN_TRY(unfold(0, "name", m_.name()));
    g_.name = text_or_empty(m_.name());
    KILN_TRY(symbols());
    KILN_TRY(segments());
    KILN_TRY(values());
    KILN_TRY(nodes());
    KILN_TRY(ports());
    return std::move(g_);
  }

 private:
  /// Takes note of what is about to be unfolded: so many bytes, and text, which will be shown to people.
  Status unfold(size_t bytes, const std::string& where, const flatbuffers::String* a,
                const flatbuffers::String* b = nullptr) {
    for (const flatbuffers::String* text : {a, b}) {
      if (size_or_zero(text) > kMaxText) return bad("a text of " + std::to_string(text->size()) + " bytes", where);
      if (text && !is_plain(text->string_view())) return bad("a text with characters that cannot be shown", where);
      bytes += size_or_zero(text);
    }
    left_ -= static_cast<int64_t>(bytes);
    return left_ < 0 ? bad("it unfolds to far more than it holds", where) : ok();
  }

  Status version() {
    if (m_.version() > kFormatVersion)
      return Error{ErrorCode::unsupported_version,
                   "this file is of format version " + std::to_string(m_.version()) + ", newer than this runtime's " +
                       std::to_string(kFormatVersion) + ": upgrade wasmkiln",
                   ""};
    for (size_t i = 0; i < size_or_zero(m_.features()); ++i)
      if (const std::string feature = m_.features()->Get(static_cast<unsigned>(i))->str(); feature != "guards") {
        KILN_TRY(unfold(0, "features", m_.features()->Get(static_cast<unsigned>(i))));
        return Error{
            ErrorCode::unsupported_version,
            "this file needs the feature '" + feature + "', which this runtime does not have: upgrade wasmkiln", ""};
      }
    if (m_.version() < kFormatVersion)
      return Error{ErrorCode::unsupported_version,
                   "this file is of format version " + std::to_string(m_.version()) +
                       ", from before the first release: export it again",
                   ""};
    return ok();
  }

  /// What the verifier and the checks below cannot see: a bit that flipped in a number.
  Status checksum(const uint8_t* head) {
    const uint8_t* field = reinterpret_cast<const flatbuffers::Table&>(m_).GetAddressOf(fb::Model::VT_HEAD_HASH);
    if (!field || head_hash(head, layout_.head_bytes, field - head) != m_.head_hash())
      return bad("its head does not have the checksum that it says");
    return ok();
  }

  Status symbols() {
    for (size_t i = 0; i < size_or_zero(m_.symbols()); ++i) {
      const fb::Symbol* s = m_.symbols()->Get(static_cast<unsigned>(i));
      KILN_TRY(unfold(sizeof(Symbol) + size_or_zero(s->code()) * sizeof(int64_t), "symbol", s->name()));
      if (s->min() < 0 || (s->max() != 0 && s->max() < s->min())) return bad("symbol range", s->name()->str());
      KILN_ASSIGN(SizeCode code, size_code(s->code(), i, s->name()->str()));
      g_.symbols.push_back({s->name()->str(), s->min(), s->max(), std::move(code)});
    }
    for (size_t i = 0; i < size_or_zero(m_.guards()); ++i) {
      const fb::Guard* guard = m_.guards()->Get(static_cast<unsigned>(i));
      KILN_TRY(unfold(sizeof(Guard) + size_or_zero(guard->code()) * sizeof(int64_t), "guard", guard->text(),
                      guard->where()));
      const std::string text = guard->text()->str();
      KILN_ASSIGN(SizeCode code, size_code(guard->code(), g_.symbols.size(), text));
      if (code.empty()) return bad("a condition without an expression", text);
      g_.guards.push_back({std::move(code), text, text_or_empty(guard->where())});
    }
    return ok();
  }

  /// An expression of the first `symbols` symbols; nothing where the file has none.
  Result<SizeCode> size_code(const flatbuffers::Vector<int64_t>* pairs, size_t symbols, const std::string& where) {
    const Error wrong = bad("a size that is no expression", where);
    const auto code = elements_of<int64_t>(pairs);
    if (code.size() % 2 || code.size() > kMaxCode) return wrong;
    SizeCode out;
    size_t depth = 0;
    for (size_t at = 0; at < code.size(); at += 2) {
      const int64_t argument = code[at + 1];
      if (code[at] < 0 || code[at] >= static_cast<int64_t>(SizeOp::kCount)) return wrong;
      const auto op = static_cast<SizeOp>(code[at]);
      if (depth < operands_of(op)) return wrong;
      if (op == SizeOp::symbol && (argument < 0 || argument >= static_cast<int64_t>(symbols))) return wrong;
      depth += 1 - operands_of(op);
      out.emplace_back(code[at], argument);
    }
    if (!out.empty() && depth != 1) return wrong;
    return out;
  }

  Status segments() {
    const uint64_t limit = uint64_t{1} << 46;
    if (m_.weights_bytes() > limit) return bad("weights are too large");
    g_.weights_bytes = static_cast<int64_t>(m_.weights_bytes());
    if (file_bytes_ >= 0 && layout_.weights_begin + g_.weights_bytes > file_bytes_)
      return bad("the file is truncated: its weights end before they should");
    int64_t end = 0;
    for (size_t i = 0; i < size_or_zero(m_.segments()); ++i) {
      const fb::Segment* s = m_.segments()->Get(static_cast<unsigned>(i));
      const std::string where = "segment " + std::to_string(i);
      if (s->offset() > limit || s->size() > limit) return bad("segment out of range", where);
      Segment out;
      out.offset = static_cast<int64_t>(s->offset());
      out.size = static_cast<int64_t>(s->size());
      if (s->rows() <= limit) out.rows = static_cast<int64_t>(s->rows());
      out.row_spread = s->row_spread(), out.column_spread = s->column_spread();
      if (out.offset % kSegmentAlign) return bad("segment is not aligned", where);
      if (out.offset < end) return bad("segments overlap or are out of order", where);
      end = out.offset + out.size;
      if (end > g_.weights_bytes) return bad("segment beyond the weights", where);
      g_.segments.push_back(out);
    }
    const auto blocks = static_cast<uint64_t>(ceil_div(g_.weights_bytes, kHashBlock));
    if (size_or_zero(m_.block_hashes()) != blocks || size_or_zero(m_.block_digests()) != blocks * kDigestBytes)
      return bad("its hashes do not cover the weights");
    g_.block_hashes = elements_of<uint64_t>(m_.block_hashes());
    g_.block_digests = elements_of<uint8_t>(m_.block_digests());
    return ok();
  }

  Status values() {
    for (const fb::Value* v : *m_.values()) {
      KILN_TRY(unfold(sizeof(Value) + size_or_zero(v->dims()) * sizeof(Dim) + size_or_zero(v->data()),
                      "value " + std::to_string(g_.values.size()), v->name()));
      Value out;
      out.name = text_or_empty(v->name());
      const std::string where = "value '" + out.name + "'";
      if (v->dtype() > fb::DType::MAX) return bad("unknown element type", where);
      out.dtype = static_cast<DType>(v->dtype());
      if (size_or_zero(v->dims()) > kMaxRank) return bad("too many dims", where);
      int64_t count = 1, span = 1;  // a zero hides what its neighbours' strides come to
      bool symbolic = false;
      for (size_t d = 0; d < size_or_zero(v->dims()); ++d) {
        fb::Dim aligned;  // FlatBuffers' verifier does not check that the structs of a vector are
        std::memcpy(&aligned, v->dims()->Data() + d * sizeof aligned, sizeof aligned);
        const fb::Dim* dim = &aligned;
        if (dim->value() < 0 || dim->value() > kMaxElements) return bad("a dim is out of range", where);
        if (dim->symbol() < -1 || dim->symbol() >= static_cast<int64_t>(g_.symbols.size()))
          return bad("unknown symbol", where);
        const int64_t extent = dim->value() > 1 ? dim->value() : 1;
        if (span > kMaxElements / extent) return bad("too many elements", where);
        span *= extent;
        count *= dim->value();
        symbolic = symbolic || dim->symbol() >= 0;
        out.shape.push_back(dim->symbol() < 0 ? Dim(dim->value()) : Dim::make_symbol(dim->symbol(), dim->value()));
      }
      const int64_t bytes = count * size_of(out.dtype);
      out.segment = v->segment();
      if (out.segment < -1 || out.segment >= static_cast<int64_t>(g_.segments.size()))
        return bad("unknown segment", where);
      const auto data = static_cast<int64_t>(size_or_zero(v->data()));
      if (out.segment >= 0 && data) return bad("both a weight and a constant", where);
      if ((out.segment >= 0 || data) && symbolic) return bad("stored data of symbolic shape", where);
      if (out.segment >= 0 && g_.segments[static_cast<size_t>(out.segment)].size != bytes)
        return bad("its segment has another size", where);
      if (data && (data != bytes || data > kMaxInline)) return bad("its data has another size", where);
      if (data) out.data.assign(v->data()->begin(), v->data()->end());
      if (out.segment >= 0 && bytes == 0) return bad("an empty weight", where);
      g_.values.push_back(std::move(out));
    }
    defined_.resize(g_.values.size());
    for (size_t i = 0; i < g_.values.size(); ++i) defined_[i] = g_.values[i].is_weight() || g_.values[i].is_constant();
    for (size_t i = 0; i < size_or_zero(m_.inputs()); ++i) {
      const int id = m_.inputs()->Get(static_cast<unsigned>(i));
      if (!is_value(id) || defined_[static_cast<size_t>(id)])
        return bad("input " + std::to_string(i) + " is not a free value");
      defined_[static_cast<size_t>(id)] = true;
      g_.inputs.push_back(id);
    }
    return distinct_names(g_.inputs, "two inputs of one name");
  }

  /// An input and an output may have one name, as a state that goes in and comes out.
  Status distinct_names(const std::vector<ValueId>& ids, const char* otherwise) const {
    std::set<std::string_view> names;
    for (const ValueId id : ids)
      if (!names.insert(g_.value(id).name).second) return bad(otherwise, "value '" + g_.value(id).name + "'");
    return ok();
  }

  bool is_value(int id) const { return id >= 0 && static_cast<size_t>(id) < g_.values.size(); }

  Status nodes() {
    if (m_.nodes()->size() > kMaxNodes) return bad("too many nodes");
    for (const fb::Node* n : *m_.nodes()) {
      const std::string where = "node " + std::to_string(g_.nodes.size());
      Node out;
      if (n->op() >= m_.op_names()->size()) return bad("unknown operator name", where);
      KILN_TRY(unfold(sizeof(Node) + (size_or_zero(n->inputs()) + size_or_zero(n->outputs())) * sizeof(ValueId), where,
                      m_.op_names()->Get(n->op()), n->where()));
      out.source = m_.op_names()->Get(n->op())->str();
      out.where = text_or_empty(n->where());
      for (size_t i = 0; i < size_or_zero(n->inputs()); ++i) {
        const int id = n->inputs()->Get(static_cast<unsigned>(i));
        if (id != kNoValue && (!is_value(id) || !defined_[static_cast<size_t>(id)]))
          return bad("an operand is not computed before it is read", where);
        out.inputs.push_back(id);
      }
      for (size_t i = 0; i < size_or_zero(n->outputs()); ++i) {
        const int id = n->outputs()->Get(static_cast<unsigned>(i));
        if (id != kNoValue) {
          if (!is_value(id) || defined_[static_cast<size_t>(id)]) return bad("a result is computed twice", where);
          defined_[static_cast<size_t>(id)] = true;
        }
        out.outputs.push_back(id);
      }
      for (size_t i = 0; i < size_or_zero(n->attrs()); ++i)
        KILN_TRY(attr(*n->attrs()->Get(static_cast<unsigned>(i)), out, where));
      g_.nodes.push_back(std::move(out));
    }
    return ok();
  }

  Status attr(const fb::Attr& a, Node& node, const std::string& where) {
    const size_t elements = size_or_zero(a.ints()) + size_or_zero(a.reals()) + size_or_zero(a.symbols());
    KILN_TRY(unfold(sizeof(SourceAttr) + elements * sizeof(int64_t), where, a.name(), a.s()));
    SourceAttr out;
    out.name = a.name()->str();
    switch (a.kind()) {
      case fb::AttrKind::none:
        break;
      case fb::AttrKind::integer:
        out.value = a.i();
        break;
      case fb::AttrKind::real:
        out.value = a.f();
        break;
      case fb::AttrKind::boolean:
        out.value = a.i() != 0;
        break;
      case fb::AttrKind::text:
        out.value = text_or_empty(a.s());
        break;
      case fb::AttrKind::integers:
        out.value = elements_of<int64_t>(a.ints());
        break;
      case fb::AttrKind::reals:
        out.value = elements_of<double>(a.reals());
        break;
      default:
        return bad("unknown kind of attribute '" + out.name + "'", where);
    }
    const size_t numbers = a.kind() == fb::AttrKind::integer    ? 1
                           : a.kind() == fb::AttrKind::integers ? size_or_zero(a.ints())
                                                                : 0;
    const size_t count = size_or_zero(a.symbols());
    if (count && count != numbers) return bad("symbols in the place of other numbers", where);
    for (size_t i = 0; i < count; ++i) {
      out.symbols.push_back(a.symbols()->Get(static_cast<unsigned>(i)));
      if (out.symbols[i] < -1 || out.symbols[i] >= static_cast<int64_t>(g_.symbols.size()))
        return bad("unknown symbol", where);
    }
    node.source_attrs.push_back(std::move(out));
    return ok();
  }

  Status ports() {
    if (size_or_zero(m_.outputs()) == 0) return bad("no outputs");
    for (size_t i = 0; i < size_or_zero(m_.outputs()); ++i) {
      const int id = m_.outputs()->Get(static_cast<unsigned>(i));
      if (!is_value(id) || !defined_[static_cast<size_t>(id)])
        return bad("output " + std::to_string(i) + " is never computed");
      g_.outputs.push_back(id);
    }
    return distinct_names(g_.outputs, "two outputs of one name");
  }

  const fb::Model& m_;
  HeadLayout layout_;
  int64_t file_bytes_, left_;
  Graph g_;
  std::vector<bool> defined_;
};

}  // namespace

uint64_t block_hash(const uint8_t* bytes, int64_t size) { return XXH64(bytes, static_cast<size_t>(size), 0); }

uint64_t head_hash(const uint8_t* head, int64_t size, int64_t field) {
  const uint64_t zeros = 0;
  const int64_t after = field + int64_t{sizeof zeros};
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  XXH64_update(&state, head, static_cast<size_t>(field));
  XXH64_update(&state, &zeros, sizeof zeros);
  XXH64_update(&state, head + after, static_cast<size_t>(size - after));
  return XXH64_digest(&state);
}

Result<HeadLayout> read_head_layout(const uint8_t* bytes, int64_t size) {
  if (size < 12 || std::memcmp(bytes + 8, "KILN", 4) != 0) {
    const std::string kind = foreign_file(bytes, size);
    if (!kind.empty()) return Error{ErrorCode::bad_file, "this is no .kiln file but " + kind, "byte 0"};
  }
  if (size < 16) return bad("it is only " + std::to_string(size) + " bytes long");
  if (std::memcmp(bytes + 8, "KILN", 4) != 0) return bad("it does not begin with a KILN head");
  uint32_t prefix;
  std::memcpy(&prefix, bytes, 4);
  HeadLayout out;
  out.head_bytes = int64_t{prefix} + 4;
  if (out.head_bytes < 16 || out.head_bytes > kMaxHeadBytes)
    return bad("its head cannot be " + std::to_string(out.head_bytes) + " bytes long");
  out.weights_begin = round_up(out.head_bytes, kSegmentAlign);
  return out;
}

Result<Graph> read_kiln(const uint8_t* head, int64_t size, int64_t file_bytes) {
  KILN_ASSIGN(const HeadLayout layout, read_head_layout(head, size));
  if (layout.head_bytes > size) return bad("its head is truncated");
  constexpr int64_t kMaxTables = 10000000;  // and no more than a byte for each: lists may share tables
  flatbuffers::Verifier verifier(head, static_cast<size_t>(layout.head_bytes), 64,
                                 static_cast<flatbuffers::uoffset_t>(std::min(layout.head_bytes, kMaxTables)));
  if (!verifier.VerifySizePrefixedBuffer<fb::Model>("KILN")) return bad("its head does not verify");
  return Reader(*flatbuffers::GetSizePrefixedRoot<fb::Model>(head), layout, file_bytes).run(head);
}

}  // namespace kiln
