// The arena planner on random lifetimes: nothing that lives at once overlaps, and little is wasted.
#include <gtest/gtest.h>

#include <random>

#include "ir/plan.h"

namespace kiln {
namespace {

/// Buffers as a network makes them: most live for a few steps, some for long.
std::vector<Buffer> random_buffers(std::mt19937& random, int count) {
  const auto pick = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
  };
  std::vector<Buffer> buffers;
  for (int i = 0; i < count; ++i) {
    Buffer b;
    b.space = pick(0, 9) ? Space::arena : Space::staging;
    b.bytes = int64_t{1} << pick(0, 16);
    b.bytes += pick(0, 100);
    b.first = i;
    b.last = i + (pick(0, 5) ? pick(0, 3) : pick(0, 30));
    buffers.push_back(b);
  }
  return buffers;
}

TEST(Arena, BuffersThatLiveTogetherDoNotOverlap) {
  std::mt19937 random(5);
  double waste = 0;
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Buffer> buffers = random_buffers(random, 1 + round % 90);
    buffers[0].space = Space::arena;
    int64_t bound = 0;
    const int64_t size = plan_arena(buffers, Space::arena, &bound);
    EXPECT_GE(size, bound);
    waste += static_cast<double>(size) / static_cast<double>(bound) - 1;
    for (size_t i = 0; i < buffers.size(); ++i) {
      const Buffer& a = buffers[i];
      if (a.space != Space::arena) continue;
      EXPECT_EQ(a.offset % 64, 0);
      EXPECT_GE(a.offset, 0);
      EXPECT_LE(a.offset + a.bytes, size);
      for (size_t j = 0; j < i; ++j) {
        const Buffer& b = buffers[j];
        if (b.space != Space::arena || a.first > b.last || b.first > a.last) continue;
        EXPECT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset)
            << i << " and " << j << ", round " << round;
      }
    }
  }
  EXPECT_LT(waste / kRounds, 0.05);  // of the bound, which not every instance can reach
}

TEST(Arena, NothingIsNothing) {
  std::vector<Buffer> none;
  int64_t bound = -1;
  EXPECT_EQ(plan_arena(none, Space::arena, &bound), 0);
  EXPECT_EQ(bound, 0);
  EXPECT_EQ(plan_arena(none, Space::weights), 0);
}

}  // namespace
}  // namespace kiln
