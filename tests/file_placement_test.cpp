#include "runtime/file_placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

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
  /// One more step of the last phase.
  void also(int packed, int from, int64_t at = 0) {
    PlanStep step;
    step.spec = PackSpec{};
    step.operands = {{packed, 0}, {from, at}};
    plan.init.back().push_back(step);
  }
  FilePlacement place(int64_t panel, int64_t landed = INT64_MAX) {
    return place_over_file(plan, plan.buffers, landed, [&](const PlanStep& step) {
      const int64_t packed = plan.buffers[static_cast<size_t>(step.operands[0].buffer)].bytes;
      return Traversal{panel ? packed : 0, panel};
    });
  }
  int64_t offset(int of) const { return plan.buffers[static_cast<size_t>(of)].offset; }
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

TEST(FilePlacement, OnlyTheLastReaderWritesOverAWeight) {
  for (const int64_t panel : {0, 256}) {
    Weights w;
    const int source = w.buffer(Space::staging, 4096), first = w.buffer(Space::weights, 4096),
              last = w.buffer(Space::weights, 4096);
    w.transfer(source, 4096, first);
    w.also(last, source);
    const FilePlacement placed = w.place(panel);
    EXPECT_EQ(w.plan.buffers[static_cast<size_t>(source)].space, Space::file);
    EXPECT_EQ(placed.lead, 4096 + (panel ? panel : 4096)) << "all of the first one's, and as much as one reader wants";
    EXPECT_EQ(w.offset(first), 0);
    EXPECT_EQ(w.offset(last), 4096);
  }
}

TEST(FilePlacement, EveryResultOfAStepWaitsForWhatItReads) {
  Weights w;
  const int source = w.buffer(Space::staging, 4096), values = w.buffer(Space::weights, 4096),
            places = w.buffer(Space::weights, 4096);
  w.transfer(source, 4096, values);
  PlanStep& step = w.plan.init.back().front();
  step.spec = SortSpec{};
  step.operands = {{values, 0}, {places, 0}, {source, 0}};
  ASSERT_EQ(num_written(step.spec), 2u);
  const FilePlacement placed = w.place(0);
  EXPECT_EQ(w.plan.buffers[static_cast<size_t>(source)].space, Space::file);
  EXPECT_EQ(placed.lead, 2 * 4096);
}

/// Queries, keys and values: what one of them is made of no other reads.
TEST(FilePlacement, PartsOfAWeightFollowEachOther) {
  for (const bool forwards : {true, false}) {
    Weights w;
    const int source = w.buffer(Space::staging, 3 * 4096), first = w.buffer(Space::weights, 4096);
    w.transfer(source, 3 * 4096, first);
    w.plan.init[0][0].operands[1].offset = forwards ? 0 : 2 * 4096;
    w.also(w.buffer(Space::weights, 4096), source, 4096);
    w.also(w.buffer(Space::weights, 4096), source, forwards ? 2 * 4096 : 0);
    EXPECT_EQ(w.place(256).lead, forwards ? 256 : 2 * 4096 + 256);
  }
}

/// The load of a random plan, word by word. Every buffer is there twice: where it was placed, and in a memory of its
/// own where nothing can be written over. Each write leaves a new number in both, so a read that finds another number
/// in its place would have read what something else has written there.
class Load {
 public:
  explicit Load(uint32_t seed) : random_(seed) {
    for (int64_t i = pick(0, 2); i > 0; --i) {
      plan_.constants.push_back({{weights(), 0}, {}});
      there_.push_back(plan_.constants.back().dst.buffer);
    }
    const int64_t transfers = pick(1, 6);
    if (pick(0, 3) == 0) phase(-1);
    for (int t = 0; t < transfers; ++t) transfer(t);
    file_ = plan_.transfers.back().file_offset + plan_.transfers.back().size;
    landed_ = pick(0, 2) ? file_ : pick(0, file_);
    set_lifetimes();
  }

  void place() {
    placed_ = place_over_file(plan_, plan_.buffers, landed_, [&](const PlanStep& step) { return traversal(step); });
  }
  const FilePlacement& placed() const { return placed_; }

  /// What is not there any more when it is read; empty if nothing.
  std::string simulate() {
    const int64_t arrived = pick(0, 1) ? landed_ : pick(0, landed_);
    memory_.assign(static_cast<size_t>((placed_.lead + std::max(placed_.weights_bytes, file_)) / 4 + 16), -1);
    staging_.assign(static_cast<size_t>(placed_.staging_bytes / 4), -1);
    own_.clear();
    for (const Buffer& b : plan_.buffers) own_.emplace_back(static_cast<size_t>(b.bytes / 4), -1);
    for (int64_t at = 0; at < arrived / 4; ++at) memory_[static_cast<size_t>(placed_.lead / 4 + at)] = file_number(at);
    std::vector<bool> waits(plan_.init.size());
    for (const Transfer& t : plan_.transfers)
      if (t.phase >= 0) waits[static_cast<size_t>(t.phase)] = true;
    for (const Plan::Inline& c : plan_.constants) write(c.dst.buffer, 0, size(c.dst.buffer));
    for (size_t i = 0; i < plan_.init.size(); ++i)
      if (!waits[i]) run(plan_.init[i]);
    for (const Transfer& t : plan_.transfers) {
      move(t, arrived);
      if (t.phase >= 0) run(plan_.init[static_cast<size_t>(t.phase)]);
    }
    for (size_t i = 0; i < plan_.buffers.size(); ++i)
      if (plan_.buffers[i].space == Space::weights) read(static_cast<int>(i), 0, size(static_cast<int>(i)), "a run");
    return wrong_;
  }

 private:
  int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  int64_t size(int buffer) const { return plan_.buffers[static_cast<size_t>(buffer)].bytes / 4; }

  int buffer(Space space, int64_t words) {
    plan_.buffers.push_back({space, words * 4});
    return static_cast<int>(plan_.buffers.size()) - 1;
  }
  int weights() { return buffer(Space::weights, pick(1, 200)); }

  void transfer(int t) {
    const bool again = t > 0 && pick(0, 3);
    const int64_t before = t ? plan_.transfers.back().file_offset + round_up(plan_.transfers.back().size, 64) : 0;
    const int to = again || pick(0, 2) ? buffer(Space::staging, pick(1, 300)) : weights();
    const int64_t offset = before + (pick(0, 4) ? 0 : 64 * pick(1, 4));  // what lies between nobody reads
    plan_.transfers.push_back({t, offset, size(to) * 4, {to, 0}, -1});
    there_.push_back(to);
    if (pick(0, 5)) phase(t);
  }

  void phase(int t) {
    std::vector<PlanStep> steps;
    for (int64_t i = pick(1, 4); i > 0; --i) {
      if (there_.empty()) break;
      PlanStep step;
      // What has just come is read most often; whatever is there may be.
      const auto source = [&] {
        return pick(0, 3) ? there_.back()
                          : there_[static_cast<size_t>(pick(0, static_cast<int64_t>(there_.size()) - 1))];
      };
      const int from = t < 0 || pick(0, 3) == 0 ? source() : plan_.transfers.back().dst.buffer;
      const int64_t begin = pick(0, 1) ? 0 : pick(0, size(from) - 1), words = pick(1, size(from) - begin);
      const int64_t panel = pick(0, 2) ? pick(1, 40) : 0;
      const int to =
          buffer(pick(0, 3) ? Space::weights : Space::staging, panel ? round_up(words, panel) : pick(1, 400));
      step.operands = {{to, 0}, {from, begin * 4}};
      if (pick(0, 3) == 0) step.operands.push_back({source(), 0});
      how_[to] = panel || pick(0, 1) ? Traversal{words * 4, panel * 4} : Traversal{};
      steps.push_back(step);
      there_.push_back(to);
    }
    if (steps.empty()) return;
    if (t >= 0) plan_.transfers.back().phase = static_cast<int>(plan_.init.size());
    plan_.init.push_back(std::move(steps));
  }

  Traversal traversal(const PlanStep& step) const { return how_.at(step.operands[0].buffer); }

  void set_lifetimes() {
    const auto touch = [&](int of, int time) {
      Buffer& b = plan_.buffers[static_cast<size_t>(of)];
      if (seen_.insert(of).second) b.first = time;
      b.last = std::max(b.last, time);
    };
    const auto touch_all = [&](const std::vector<PlanStep>& steps, int time) {
      for (const PlanStep& step : steps)
        for (const Operand& o : step.operands) touch(o.buffer, time);
    };
    if (!plan_.init.empty() && plan_.transfers[0].phase != 0) touch_all(plan_.init[0], 0);
    for (size_t t = 0; t < plan_.transfers.size(); ++t) {
      const Transfer& transfer = plan_.transfers[t];
      touch(transfer.dst.buffer, static_cast<int>(t));
      if (transfer.phase >= 0) touch_all(plan_.init[static_cast<size_t>(transfer.phase)], static_cast<int>(t));
    }
  }

  static int64_t file_number(int64_t word) { return 1000000 + word; }

  int64_t& at(int buffer, int64_t word) {
    const Buffer& b = plan_.buffers[static_cast<size_t>(buffer)];
    if (b.space == Space::staging) return staging_[static_cast<size_t>(b.offset / 4 + word)];
    return memory_[static_cast<size_t>((b.space == Space::file ? placed_.lead : 0) + b.offset) / 4 +
                   static_cast<size_t>(word)];
  }
  int64_t& own(int buffer, int64_t word) { return own_[static_cast<size_t>(buffer)][static_cast<size_t>(word)]; }
  void put(int buffer, int64_t word, int64_t number) { at(buffer, word) = own(buffer, word) = number; }
  void write(int buffer, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) put(buffer, i, next_++);
  }
  void read(int buffer, int64_t begin, int64_t end, const std::string& who) {
    for (int64_t i = begin; i < end && wrong_.empty(); ++i)
      if (at(buffer, i) != own(buffer, i))
        wrong_ =
            who + " reads word " + std::to_string(i) + " of buffer " + std::to_string(buffer) + ", which is another's";
  }

  /// Moves what has arrived, all at once; the rest comes from elsewhere.
  void move(const Transfer& t, int64_t arrived) {
    const int to = t.dst.buffer;
    std::vector<int64_t> words;
    for (int64_t i = 0; i < t.size / 4; ++i) {
      const int64_t place = t.file_offset / 4 + i;
      const bool early = (place + 1) * 4 <= arrived;
      words.push_back(early ? memory_[static_cast<size_t>(placed_.lead / 4 + place)] : file_number(place));
      if (words.back() != file_number(place) && wrong_.empty())
        wrong_ = "word " + std::to_string(place) + " of the file is another's when it is moved";
    }
    for (size_t i = 0; i < words.size(); ++i) put(to, static_cast<int64_t>(i), words[i]);
  }

  /// A step that goes through its source in order writes a panel after it has read as much; any other one may write all
  /// before it reads anything.
  void run(const std::vector<PlanStep>& steps) {
    for (const PlanStep& step : steps) {
      const int to = step.operands[0].buffer;
      const Traversal how = traversal(step);
      const int64_t begin = how.bytes ? step.operands[1].offset / 4 : 0;
      const int64_t end = how.bytes ? begin + how.bytes / 4 : size(step.operands[1].buffer);
      const std::string who = "the step that writes buffer " + std::to_string(to);
      const int64_t panel = how.panel ? how.panel / 4 : 0;
      for (int64_t i = 0; panel && i < size(to); i += panel) {
        const int64_t from = std::min(begin + i, end);
        write(to, i, i + panel);
        read(step.operands[1].buffer, from, std::min(from + panel, end), who);
      }
      if (!panel) write(to, 0, size(to));
      for (size_t i = panel ? 2 : 1; i < step.operands.size(); ++i)
        i == 1 ? read(step.operands[1].buffer, begin, end, who)
               : read(step.operands[i].buffer, 0, size(step.operands[i].buffer), who);
    }
  }

  std::mt19937 random_;
  Plan plan_;
  std::vector<int> there_;        ///< buffers that a step may read
  std::map<int, Traversal> how_;  ///< of the step that writes a buffer
  std::set<int> seen_;
  int64_t file_ = 0, landed_ = 0, next_ = 1 << 30;
  FilePlacement placed_;
  std::vector<int64_t> memory_, staging_;
  std::vector<std::vector<int64_t>> own_;
  std::string wrong_;
};

TEST(FilePlacement, NothingIsReadAfterItWasWrittenOver) {
  for (uint32_t seed = 0; seed < 20000; ++seed) {
    Load load(seed);
    load.place();
    ASSERT_EQ(load.simulate(), "") << "seed " << seed;
  }
}

}  // namespace
}  // namespace kiln
