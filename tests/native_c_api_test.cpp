#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runtime/native_integrity.h"
#include "tests/support/c_api_client.h"
#include "tests/support/digits.h"

namespace kiln {
namespace {

TEST(CApi, ServesAProgramInC) {
  const std::vector<float> image = testing::Digits::image(), want = testing::Digits::logits();
  ASSERT_EQ(image.size(), 64u);
  std::vector<float> logits(10, NAN);
  const auto file = ModelFile::open(testing::Digits::path());
  ASSERT_TRUE(file.ok());
  const auto integrity = integrity_of(*file);
  ASSERT_TRUE(integrity.ok()) << integrity.error().message;
  EXPECT_EQ(c_api_client(file->path().c_str(), integrity->c_str(), image.data(), logits.data()), 0)
      << "is the line of tests/support/c_api_client.c that was surprised";
  float scale = 0;
  for (float w : want) scale = std::max(scale, std::abs(w));
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(logits[i], want[i], 1e-4f * scale) << i;
}

}  // namespace
}  // namespace kiln
