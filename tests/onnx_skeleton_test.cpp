// A file and its skeleton are the same graph.
#include <gtest/gtest.h>

#include "format/onnx_file.h"

namespace kiln {
namespace {

std::string varint(uint64_t value) {
  std::string out;
  for (; value > 127; value >>= 7) out += static_cast<char>(value | 128);
  return out + static_cast<char>(value);
}
std::string number(int field, uint64_t value) { return varint(static_cast<uint64_t>(field) << 3) + varint(value); }
std::string bytes(int field, const std::string& content) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(content.size()) + content;
}
std::string entry(const char* key, int64_t value) { return bytes(13, bytes(1, key) + bytes(2, std::to_string(value))); }

constexpr int64_t kCount = 20000, kBytes = kCount * 4;

/// y = x + w, where `elements` say what w's are.
std::string model(const std::string& elements) {
  const std::string type = bytes(2, bytes(1, number(1, 1) + bytes(2, bytes(1, number(1, kCount)))));
  const std::string graph = bytes(1, bytes(1, "x") + bytes(1, "w") + bytes(2, "y") + bytes(4, "Add")) +
                            bytes(11, bytes(1, "x") + type) + bytes(12, bytes(1, "y") + type) +
                            bytes(5, number(1, kCount) + number(2, 1) + bytes(8, "w") + elements);
  return number(1, 8) + bytes(8, number(2, 17)) + bytes(7, graph);
}
std::string skeleton(int64_t offset, int64_t length = kBytes) {
  return model(entry("offset", offset) + entry("length", length) + number(14, 1));
}

TEST(OnnxSkeleton, IsTheSameGraph) {
  const std::string file = model(bytes(9, std::string(kBytes, '\1')));
  const auto whole = read_onnx(file);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  const int64_t at = static_cast<int64_t>(file.size()) - kBytes;
  ASSERT_EQ(whole->weights[0].offset, at);
  const auto made = read_onnx_skeleton(skeleton(at), static_cast<int64_t>(file.size()));
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(to_string(made->graph), to_string(whole->graph));
  EXPECT_EQ(made->graph.weights_bytes, whole->graph.weights_bytes);
  ASSERT_EQ(made->weights.size(), 1u);
  EXPECT_EQ(made->weights[0].offset, at);
  EXPECT_TRUE(made->weights[0].made.empty());
}

TEST(OnnxSkeleton, BringsWhatItKept) {  // its places are not those of the file
  const std::string file = model(bytes(9, std::string(kBytes, '\1')));
  const auto made = read_onnx_skeleton(file, static_cast<int64_t>(file.size()));
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->weights[0].made, std::vector<uint8_t>(kBytes, 1));
}

TEST(OnnxSkeleton, LiesWithinItsFile) {
  EXPECT_TRUE(read_onnx_skeleton(skeleton(0), kBytes).ok());
  EXPECT_FALSE(read_onnx_skeleton(skeleton(1), kBytes).ok());
  EXPECT_FALSE(read_onnx_skeleton(skeleton(0), kBytes - 1).ok());
  EXPECT_FALSE(read_onnx_skeleton(skeleton(999999999999999999), kBytes).ok());
  EXPECT_FALSE(read_onnx_skeleton(skeleton(0, kBytes + 4), 2 * kBytes).ok());
  EXPECT_FALSE(read_onnx_skeleton(skeleton(0), kMaxOnnxBytes + 1).ok());
  EXPECT_FALSE(read_onnx(skeleton(0)).ok()) << "a whole file has no such tensors";
}

}  // namespace
}  // namespace kiln
