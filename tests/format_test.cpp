#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string_view>

#include "format/kiln_file.h"
#include "format/model_generated.h"
#include "ir/passes/passes.h"
#include "tests/support/seal_head.h"

namespace kiln {
namespace {

/// A small valid model as the object API holds it: x[2,3] · relu, plus a weight; tests spoil one thing each.
fb::ModelT small_model() {
  fb::ModelT m;
  m.version = kFormatVersion;
  m.head_hash = 1;  // any number but zero, so that there is a place for it
  m.op_names = {"aten.relu.default", "aten.add.Tensor"};
  const auto value = [&](const char* name, const std::vector<int64_t>& dims, int segment) {
    auto v = std::make_unique<fb::ValueT>();
    v->name = name;
    for (int64_t d : dims) v->dims.emplace_back(d, -1);
    v->segment = segment;
    m.values.push_back(std::move(v));
  };
  value("x", {2, 3}, -1);
  value("w", {2, 3}, 0);
  value("sum", {2, 3}, -1);
  value("y", {2, 3}, -1);
  auto segment = std::make_unique<fb::SegmentT>();
  segment->offset = 0;
  segment->size = 24;
  m.segments.push_back(std::move(segment));
  m.weights_bytes = 64;
  m.block_hashes = {0};
  m.block_digests.resize(kDigestBytes);
  const auto node = [&](uint32_t op, std::vector<int> in, std::vector<int> out) {
    auto n = std::make_unique<fb::NodeT>();
    n->op = op;
    n->inputs = std::move(in);
    n->outputs = std::move(out);
    m.nodes.push_back(std::move(n));
  };
  node(1, {0, 1}, {2});
  node(0, {2}, {3});
  m.inputs = {0};
  m.outputs = {3};
  return m;
}

std::vector<uint8_t> bytes_of(const fb::ModelT& model) {
  flatbuffers::FlatBufferBuilder builder;
  builder.FinishSizePrefixed(fb::Model::Pack(builder, &model), "KILN");
  std::vector<uint8_t> bytes{builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
  seal_head(bytes.data(), static_cast<int64_t>(bytes.size()));
  return bytes;
}

Result<Graph> read(const std::vector<uint8_t>& bytes, int64_t file_bytes = -1) {
  return read_kiln(bytes.data(), static_cast<int64_t>(bytes.size()), file_bytes);
}

TEST(Format, ReadsASmallModel) {
  const auto bytes = bytes_of(small_model());
  const auto layout = read_head_layout(bytes.data(), 16);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->head_bytes, static_cast<int64_t>(bytes.size()));
  EXPECT_EQ(layout->weights_begin % kSegmentAlign, 0);
  const auto graph = read(bytes);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(graph->nodes.size(), 2u);
  EXPECT_EQ(graph->nodes[0].source, "aten.add.Tensor");
  EXPECT_TRUE(graph->value(1).is_weight());
  EXPECT_EQ(graph->outputs, std::vector<ValueId>{3});
}

TEST(Format, RefusesEveryTruncation) {
  const auto bytes = bytes_of(small_model());
  for (size_t n = 0; n < bytes.size(); ++n) {
    const auto graph = read({bytes.begin(), bytes.begin() + static_cast<long>(n)});
    ASSERT_FALSE(graph.ok()) << n;
    EXPECT_EQ(graph.error().code, ErrorCode::bad_file);
  }
}

/// As they are, heads with a flipped bit are refused, whatever the bit means; with a checksum that fits, read or
/// refused.
TEST(Format, RefusesEveryFlippedBit) {
  const auto bytes = bytes_of(small_model());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(read(flipped).ok()) << bit;
    seal_head(flipped.data(), static_cast<int64_t>(flipped.size()));
    const auto graph = read(flipped);
    EXPECT_TRUE(graph.ok() || !graph.error().message.empty());
  }
}

/// The first bytes of files that people have in the place of a model, and what the error must say of each.
TEST(Format, SaysWhatAnotherFileIs) {
  using namespace std::string_view_literals;
  const std::pair<std::string_view, const char*> files[] = {
      {""sv, "empty"},
      {"\x08\x07\x12\x07pytorch\x1a\x05"
       "2.5.1"sv,
       "ONNX"},
      {"\x08\x09:\xd4\x01\x0a\x10\x0a\x01x\x0a\x01y\x12\x01z"sv, "ONNX"},
      {"PK\x03\x04\0\0\x08\x08\0\0\0\0\0\0\0\0"sv, "torch.save()"},
      {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50"sv, "pickle"},
      {"\x58\x01\0\0\0\0\0\0{\"weight\":{"sv, "safetensors"},
      {"GGUF\x03\0\0\0\x23\x01\0\0\0\0\0\0"sv, "GGUF"},
      {"<!doctype html><html>"sv, "HTML"},
      {"\n  <html lang=\"en\">"sv, "HTML"},
      {"{\"error\":\"not found\"}"sv, "JSON"},
      {"version https://git-lfs.github.com/spec/v1"sv, "git lfs pull"},
      {"\x1f\x8b\x08\0\0\0\0\0\0\x03\0\0\0\0\0\0"sv, "compressed"},
  };
  for (const auto& [bytes, says] : files) {
    const auto layout =
        read_head_layout(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int64_t>(bytes.size()));
    ASSERT_FALSE(layout.ok()) << says;
    EXPECT_EQ(layout.error().code, ErrorCode::bad_file);
    EXPECT_NE(layout.error().message.find(says), std::string::npos) << layout.error().message;
    EXPECT_EQ(layout.error().message.find("damaged"), std::string::npos) << layout.error().message;
  }
}

TEST(Format, HashIsXxh64) {
  const uint8_t text[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9', 0, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(block_hash(text, 9), 0x8cb841db40e6ae83u);  // xxhash.h's own XXH64("123456789"), seed 0
  EXPECT_EQ(head_hash(text, 17, 9), block_hash(text, 17));
  EXPECT_NE(head_hash(text, 17, 8), block_hash(text, 17));
}

TEST(Format, RefusesOlderVersions) {
  fb::ModelT m = small_model();
  m.version = kFormatVersion - 1;
  const auto graph = read(bytes_of(m));
  ASSERT_FALSE(graph.ok());
  EXPECT_EQ(graph.error().code, ErrorCode::unsupported_version);
}

/// Sizes that follow from others: code per symbol, and what is wrong with it.
TEST(Format, SymbolsThatFollowFromOthers) {
  const auto with = [](const std::vector<int64_t>& code) {
    fb::ModelT m = small_model();
    for (int i = 0; i < 2; ++i) {
      auto s = std::make_unique<fb::SymbolT>();
      s->name = i ? "half" : "batch";
      if (i) s->code = code;
      m.symbols.push_back(std::move(s));
    }
    for (const size_t v : {size_t{0}, size_t{2}, size_t{3}}) m.values[v]->dims[0] = fb::Dim(2, 1);
    auto attr = std::make_unique<fb::AttrT>();
    attr->name = "size", attr->kind = fb::AttrKind::integers, attr->ints = {7, 9}, attr->symbols = {1, -1};
    m.nodes[1]->attrs.push_back(std::move(attr));
    return m;
  };
  auto graph = read(bytes_of(with({1, 0, 0, 2, 5, 0, 0, 1, 2, 0})));  // batch / 2 + 1
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  for (const int64_t batch : {int64_t{5}, int64_t{8}}) {
    const auto bound = bind_symbols(*graph, {{"batch", batch}});
    ASSERT_TRUE(bound.ok()) << bound.error().message;
    EXPECT_EQ(bound->value(3).shape[0], Dim(batch / 2 + 1));
    const std::vector<int64_t> size{batch / 2 + 1, 9};
    EXPECT_EQ(std::get<std::vector<int64_t>>(bound->nodes[1].source_attrs[0].value), size);
  }
  EXPECT_FALSE(bind_symbols(*graph, {}).ok());
  EXPECT_FALSE(bind_symbols(*graph, {{"batch", 3}, {"half", 3}}).ok());
  EXPECT_FALSE(bind_symbols(*read(bytes_of(with({1, 0, 0, 9, 3, 0}))), {{"batch", 3}}).ok());              // negative
  EXPECT_FALSE(bind_symbols(*read(bytes_of(with({1, 0, 1, 0, 1, 0, 3, 0, 5, 0}))), {{"batch", 3}}).ok());  // by nothing
  for (const auto& code :
       std::vector<std::vector<int64_t>>{{1}, {1, 1}, {9, 0}, {23, 0}, {-1, 0}, {2, 0}, {1, 0, 1, 0}, {1, -1}})
    EXPECT_FALSE(read(bytes_of(with(code))).ok()) << code.size();
  fb::ModelT m = with({1, 0});
  m.nodes[1]->attrs[0]->symbols = {1};
  EXPECT_FALSE(read(bytes_of(m)).ok());
  m.nodes[1]->attrs[0]->symbols = {1, 2};
  EXPECT_FALSE(read(bytes_of(m)).ok());
}

TEST(Format, InputsAndOutputsHaveNamesOfTheirOwn) {
  fb::ModelT m = small_model();
  m.values[static_cast<size_t>(m.outputs[0])]->name = m.values[static_cast<size_t>(m.inputs[0])]->name;
  const auto graph = read(bytes_of(m));
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  const auto legal = legalize(*graph);
  ASSERT_TRUE(legal.ok()) << legal.error().message;
  EXPECT_EQ(legal->value(legal->inputs[0]).name, legal->value(legal->outputs[0]).name);
}

/// What a program takes for granted is checked when sizes are known, and says whose line it is.
/// Lists, tables and strings may be referred to any number of times: what that unfolds to is counted.
TEST(Format, RefusesSmallFilesThatUnfoldToMuch) {
  const auto refused = [](const char* what, size_t nodes, size_t operands, size_t where, size_t attrs) {
    flatbuffers::FlatBufferBuilder b;
    const std::vector<fb::Dim> dims{{2, -1}};
    const auto value = [&](const char* name) {
      const auto text = b.CreateString(name);
      const auto shape = b.CreateVectorOfStructs(dims);
      return fb::CreateValue(b, text, fb::DType::f32, shape);
    };
    const auto values = b.CreateVector(std::vector<flatbuffers::Offset<fb::Value>>{value("x"), value("y")});
    const auto op = b.CreateString("aten.cat.default");
    const auto names = b.CreateVector(std::vector<flatbuffers::Offset<flatbuffers::String>>{op});
    const auto said = b.CreateString(std::string(where, 'w'));
    const auto in = b.CreateVector(std::vector<int>(operands, 0)), out = b.CreateVector(std::vector<int>{-1});
    const auto key = b.CreateString("dim");
    const auto attr = fb::CreateAttr(b, key, fb::AttrKind::none);
    const auto args = b.CreateVector(std::vector<flatbuffers::Offset<fb::Attr>>(attrs, attr));
    const auto node = fb::CreateNode(b, 0, in, out, args, said);
    const auto all = b.CreateVector(std::vector<flatbuffers::Offset<fb::Node>>(nodes, node));
    const auto ports = b.CreateVector(std::vector<int>{0});
    fb::ModelBuilder m(b);
    m.add_version(kFormatVersion);
    m.add_head_hash(1);
    m.add_op_names(names), m.add_values(values), m.add_nodes(all), m.add_inputs(ports), m.add_outputs(ports);
    b.FinishSizePrefixed(m.Finish(), "KILN");
    std::vector<uint8_t> bytes{b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()};
    seal_head(bytes.data(), static_cast<int64_t>(bytes.size()));
    const auto graph = read(bytes);
    ASSERT_EQ(graph.ok(), *what == 0) << what;
    if (*what) {
      EXPECT_EQ(graph.error().code, ErrorCode::bad_file);
      EXPECT_NE(graph.error().message.find(what), std::string::npos) << graph.error().message;
    }
  };
  refused("", 3, 3, 3, 3);
  refused("", 1000, 10, 100, 3);
  refused("unfolds to far more", 4000, 4000, 10, 1);     // 16 KB of operands, 64 MB
  refused("unfolds to far more", 4000, 1, 4000, 1);      // text
  refused("does not verify", 4000, 1, 1, 4000);          // attributes
  refused("a text of 1048576 bytes", 1, 1, 1 << 20, 1);  // which every step would repeat
}

/// What is shown to people is UTF-8 without control characters, so that nothing reaches a terminal through a name.
TEST(Format, RefusesTextThatCannotBeShown) {
  const auto with = [](const std::string& text) {
    fb::ModelT named = small_model(), placed = small_model();
    named.values[3]->name = text;
    placed.nodes[0]->where = text;
    const auto name = read(bytes_of(named)), where = read(bytes_of(placed));
    EXPECT_EQ(name.ok(), where.ok()) << text;
    return name.ok();
  };
  for (const char* good : {"logits", "größe", "出力", "a.b[0]/c", "🙂", "e\u0301"}) EXPECT_TRUE(with(good)) << good;
  using namespace std::string_literals;
  for (const std::string& bad : {"a\0"s, "\x1b[31m"s, "a\nb"s, "\x7f"s, "\xc2\x85"s, "\xff"s, "\xc0\xaf"s, "\xe2\x82"s,
                                 "\xed\xa0\x80"s, "\xf4\x90\x80\x80"s, "\xe2\x80\xae"s, "\xe2\x81\xa6"s})
    EXPECT_FALSE(with(bad)) << bad;
}

TEST(Format, GuardsAreChecked) {
  const auto with = [](const std::vector<int64_t>& code) {
    fb::ModelT m = small_model();
    m.features = {"guards"};
    auto symbol = std::make_unique<fb::SymbolT>();
    symbol->name = "batch";
    m.symbols.push_back(std::move(symbol));
    auto guard = std::make_unique<fb::GuardT>();
    guard->code = code, guard->text = "(batch % 2) == 0", guard->where = "model.py:12 in forward";
    m.guards.push_back(std::move(guard));
    return m;
  };
  const auto graph = read(bytes_of(with({1, 0, 0, 2, 6, 0, 0, 0, 9, 0})));
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_TRUE(bind_symbols(*graph, {{"batch", 4}}).ok());
  const auto odd = bind_symbols(*graph, {{"batch", 5}});
  ASSERT_FALSE(odd.ok());
  EXPECT_EQ(odd.error().code, ErrorCode::bad_option);
  for (const char* part : {"(batch % 2) == 0", "model.py:12 in forward", "batch = 5"})
    EXPECT_NE(odd.error().message.find(part), std::string::npos) << odd.error().message;
  EXPECT_FALSE(bind_symbols(*read(bytes_of(with({1, 0, 0, 0, 5, 0}))), {{"batch", 4}}).ok());  // has no value
  for (const auto& code : std::vector<std::vector<int64_t>>{{}, {1}, {1, 1}, {9, 0}, {1, 0, 15}, {1, 0, 1, 0, 11, 0}})
    EXPECT_FALSE(read(bytes_of(with(code))).ok()) << code.size();
}

TEST(Format, RefusesTruncatedWeights) {
  const auto bytes = bytes_of(small_model());
  const auto begin = read_head_layout(bytes.data(), 16)->weights_begin;
  EXPECT_TRUE(read(bytes, begin + 64).ok());
  EXPECT_FALSE(read(bytes, begin + 63).ok());
}

struct Spoiled {
  const char* name;
  std::function<void(fb::ModelT&)> spoil;
  ErrorCode code = ErrorCode::bad_file;
};

TEST(Format, RefusesWhatDoesNotFit) {
  const Spoiled cases[] = {
      {"newer version", [](fb::ModelT& m) { m.version = kFormatVersion + 1; }, ErrorCode::unsupported_version},
      {"unknown feature",
       [](fb::ModelT& m) {
         m.features = {"guards", "int3"};
       },
       ErrorCode::unsupported_version},
      {"no version", [](fb::ModelT& m) { m.version = 0; }, ErrorCode::unsupported_version},
      {"no checksum", [](fb::ModelT& m) { m.head_hash = 0; }},
      {"operator name", [](fb::ModelT& m) { m.nodes[0]->op = 2; }},
      {"operand out of range", [](fb::ModelT& m) { m.nodes[0]->inputs[0] = 4; }},
      {"operand below -1", [](fb::ModelT& m) { m.nodes[0]->inputs[0] = -2; }},
      {"read before it is computed", [](fb::ModelT& m) { m.nodes[0]->inputs[0] = 3; }},
      {"computed twice", [](fb::ModelT& m) { m.nodes[1]->outputs[0] = 2; }},
      {"overwrites a weight", [](fb::ModelT& m) { m.nodes[1]->outputs[0] = 1; }},
      {"weight as input", [](fb::ModelT& m) { m.inputs = {1}; }},
      {"output never computed", [](fb::ModelT& m) { m.nodes.pop_back(); }},
      {"no outputs", [](fb::ModelT& m) { m.outputs.clear(); }},
      {"negative dim", [](fb::ModelT& m) { m.values[0]->dims[0] = fb::Dim(-1, -1); }},
      {"dims overflow",
       [](fb::ModelT& m) {
         m.values[0]->dims = {fb::Dim(1ll << 40, -1), fb::Dim(1ll << 40, -1)};
       }},
      {"dims overflow beside a zero",
       [](fb::ModelT& m) {
         m.values[0]->dims = {fb::Dim(0, -1), fb::Dim(1ll << 40, -1), fb::Dim(1ll << 40, -1)};
       }},
      {"too many dims", [](fb::ModelT& m) { m.values[0]->dims.assign(65, fb::Dim(1, -1)); }},
      {"unknown symbol", [](fb::ModelT& m) { m.values[0]->dims[0] = fb::Dim(2, 0); }},
      {"two inputs of one name",
       [](fb::ModelT& m) {
         m.values.push_back(std::make_unique<fb::ValueT>(*m.values[0]));
         m.inputs.push_back(4);
       }},
      {"two outputs of one name", [](fb::ModelT& m) { m.outputs.push_back(m.outputs[0]); }},
      {"segment of another size", [](fb::ModelT& m) { m.segments[0]->size = 20; }},
      {"segment beyond the weights", [](fb::ModelT& m) { m.weights_bytes = 16; }},
      {"segment not aligned", [](fb::ModelT& m) { m.segments[0]->offset = 4; }},
      {"segment offset overflows", [](fb::ModelT& m) { m.segments[0]->offset = ~0ull - 63; }},
      {"unknown segment", [](fb::ModelT& m) { m.values[1]->segment = 1; }},
      {"no hash of the weights", [](fb::ModelT& m) { m.block_hashes.clear(); }},
      {"a hash too many", [](fb::ModelT& m) { m.block_hashes.push_back(0); }},
      {"no digest of the weights", [](fb::ModelT& m) { m.block_digests.clear(); }},
      {"half a digest", [](fb::ModelT& m) { m.block_digests.resize(kDigestBytes / 2); }},
      {"a digest too many", [](fb::ModelT& m) { m.block_digests.resize(2 * kDigestBytes); }},
      {"data of another size",
       [](fb::ModelT& m) {
         m.values[0]->data = {1, 2, 3};
       }},
  };
  for (const Spoiled& c : cases) {
    fb::ModelT model = small_model();
    c.spoil(model);
    const auto graph = read(bytes_of(model));
    ASSERT_FALSE(graph.ok()) << c.name;
    EXPECT_EQ(graph.error().code, c.code) << c.name << ": " << graph.error().message;
  }
}

}  // namespace
}  // namespace kiln
