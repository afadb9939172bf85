#include "runtime/file_placement.h"

#include <gtest/gtest.h>

namespace kiln {
namespace {

/// A plan of weights, one transfer each, in file order.
struct Weights {
  Plan plan;
  int buffer(Space space, int64_t bytes) {
    plan.buffers.push_back({space, bytes});
    return static_cast<int>(plan.buffers.size()) - 1;
  }
  /// Comes to `dst`; starts a phase with one step that writes `packed` (if any).
  void transfer(int dst, int64_t size, int packed = -1) {
    const auto at = static_cast<int>(plan.transfers.size());
    const int64_t offset = at ? plan.transfers.back().file_offset + round_up(plan.transfers.back().size, 64) : 0;
    plan.transfers.push_back({at, offset, size, {dst, 0}, packed < 0 ? -1 : static_cast<int>(plan.init.size())});
    plan.buffers[static_cast<size_t>(dst)].first = plan.buffers[static_cast<size_t>(dst)].last = at;
    if (packed < 0) return;
    PlanStep step;
    step.spec = PackSpec{};
    step.operands = {{packed, 0}, {dst, 0}};
    plan.init.push_back({step});
  }
  FilePlacement place(int64_t panel, int64_t landed = INT64_MAX) {
    return place_over_file(plan, plan.buffers, landed, [&](const PlanStep&) { return panel; });
  }
};

TEST(FilePlacement, WhatLiesAsInTheFileStaysThere) {
  Weights w;
  for (const int64_t size : {100, 64, 1000}) w.transfer(w.buffer(Space::weights, size), size);
  const FilePlacement placed = w.place(0);
  EXPECT_EQ(placed.lead, 0);
  EXPECT_EQ(placed.weights_bytes, 128 + 64 + 1024);
  for (const Transfer& t : w.plan.transfers)
    EXPECT_EQ(w.plan.buffers[static_cast<size_t>(t.dst.buffer)].offset, t.file_offset);
}

TEST(FilePlacement, PanelsFollowWhatTheyAreMadeOf) {
  for (const int64_t panel : {0, 256}) {
    Weights w;
    for (int i = 0; i < 3; ++i) w.transfer(w.buffer(Space::staging, 4096), 4096, w.buffer(Space::weights, 4096));
    const FilePlacement placed = w.place(panel);
    EXPECT_EQ(placed.lead, panel ? panel : 4096) << "a whole weight where its order is not known";
    EXPECT_EQ(placed.staging_bytes, 0);
    for (const Transfer& t : w.plan.transfers)
      EXPECT_EQ(w.plan.buffers[static_cast<size_t>(t.dst.buffer)].space, Space::file);
  }
}

TEST(FilePlacement, GrowthIsMadeRoomFor) {
  Weights w;
  for (int i = 0; i < 3; ++i) w.transfer(w.buffer(Space::staging, 1024), 1024, w.buffer(Space::weights, 4096));
  EXPECT_EQ(w.place(0).lead, 3 * 4096 - 2 * 1024);
}

TEST(FilePlacement, WhatDoesNotLandComesWhenItIsItsTurn) {
  Weights w;
  for (int i = 0; i < 4; ++i) w.transfer(w.buffer(Space::staging, 4096), 4096, w.buffer(Space::weights, 2048));
  const FilePlacement placed = w.place(0, 2 * 4096 + 64);
  EXPECT_EQ(placed.lead, 2048) << "the part of the third that is there must last until the rest comes";
  EXPECT_EQ(placed.staging_bytes, 4096);
  for (size_t t = 0; t < 4; ++t) {
    const Buffer& source = w.plan.buffers[static_cast<size_t>(w.plan.transfers[t].dst.buffer)];
    EXPECT_EQ(source.space, t < 2 ? Space::file : Space::staging);
  }
}

TEST(FilePlacement, WhatIsNeededForLongerWaitsApart) {
  Weights w;
  const int early = w.buffer(Space::staging, 64), table = w.buffer(Space::weights, 1 << 20);
  w.transfer(early, 64);
  w.transfer(table, 1 << 20);
  w.transfer(w.buffer(Space::staging, 64), 64, w.buffer(Space::weights, 64));
  w.plan.init[0][0].operands.push_back({early, 0});
  w.plan.buffers[static_cast<size_t>(early)].last = 2;
  const FilePlacement placed = w.place(0);
  EXPECT_EQ(w.plan.buffers[static_cast<size_t>(early)].space, Space::staging);
  EXPECT_EQ(placed.staging_bytes, 64);
  EXPECT_LE(placed.lead, 64);
}

}  // namespace
}  // namespace kiln
