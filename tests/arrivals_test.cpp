#include "runtime/arrivals.h"

#include <gtest/gtest.h>

namespace kiln {
namespace {

/// A plan whose steps, transfers and phases read and write what they are told to.
struct Weights {
  Plan plan;
  int buffer(Space space, int64_t offset = 0, int64_t bytes = 64) {
    plan.buffers.push_back({space, bytes, offset});
    return static_cast<int>(plan.buffers.size()) - 1;
  }
  int transfer(int dst, int phase = -1) {
    const auto segment = static_cast<int>(plan.transfers.size());
    plan.transfers.push_back({segment, 64 * segment, 64, {dst, 0}, phase});
    return dst;
  }
  static PlanStep step(const std::vector<int>& buffers) {
    PlanStep out;
    for (const int each : buffers) out.operands.push_back({each, 0});
    return out;
  }
  Arrivals find() const { return find_arrivals(plan, plan.buffers); }
};

TEST(Arrivals, AStepNeedsTheLastOfItsWeights) {
  Weights w;
  const int out = w.buffer(Space::arena), in = w.buffer(Space::arena);
  const int first = w.transfer(w.buffer(Space::weights, 0)), second = w.transfer(w.buffer(Space::weights, 64));
  w.plan.steps = {Weights::step({out, in}), Weights::step({out, in, first}), Weights::step({out, second, first}),
                  Weights::step({out, in, Operand::kStatusWord, first})};
  EXPECT_EQ(w.find().steps, (std::vector<int>{0, 1, 2, 1}));
  EXPECT_EQ(w.find().arena, 0);
}

TEST(Arrivals, WhatIsPackedIsThereWhenItsPhaseHasRun) {
  Weights w;
  const int out = w.buffer(Space::arena), packed = w.buffer(Space::weights), constant = w.buffer(Space::weights, 64);
  const int scale = w.transfer(w.buffer(Space::weights, 128)), source = w.transfer(w.buffer(Space::file), 1);
  w.plan.init = {{Weights::step({constant})}, {Weights::step({packed, source, scale})}};
  w.plan.steps = {Weights::step({out, constant}), Weights::step({out, scale}), Weights::step({out, packed})};
  EXPECT_EQ(w.find().steps, (std::vector<int>{0, 1, 2})) << "phases without a transfer run first";
  EXPECT_EQ(w.find().arena, 0);
}

TEST(Arrivals, TheArenaIsFreeWhenNothingIsStagedThere) {
  Weights w;
  const int out = w.buffer(Space::arena), packed = w.buffer(Space::weights), kept = w.buffer(Space::weights, 64);
  const int staged = w.transfer(w.buffer(Space::staging));
  w.transfer(w.buffer(Space::file), 0);
  w.transfer(kept);
  w.plan.init = {{Weights::step({packed, staged})}};
  w.plan.steps = {Weights::step({out, packed}), Weights::step({out, kept})};
  EXPECT_EQ(w.find().arena, 2) << "staged by the first transfer, read by the phase that the second starts";
  EXPECT_EQ(w.find().steps, (std::vector<int>{2, 3}));
}

}  // namespace
}  // namespace kiln
