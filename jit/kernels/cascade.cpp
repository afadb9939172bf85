#include "jit/kernels/cascade.h"

#include <algorithm>

#include "jit/kernels/loops.h"
#include "support/dtype.h"

namespace kiln {

std::vector<int64_t> Cascade::chunks(int64_t rounds, int64_t terms) const {
  if (sums_.empty() || rounds * terms <= run_) return {};
  // Takes as few levels as possible, and then as few terms per level. `levels` of n terms must take all terms.
  const auto takes = [&](int64_t n, size_t levels) {
    int64_t most = 1;
    for (size_t i = 0; i < levels && most < rounds * terms; ++i) most *= n;
    return most >= rounds * terms;
  };
  size_t levels = 2;
  while (!takes(run_, levels)) ++levels;
  int64_t n = 2;
  while (!takes(n, levels)) ++n;
  std::vector<int64_t> chunks{std::max<int64_t>(1, n / terms)};
  while (chunks.size() + 1 < levels && chunks.back() * n < rounds) chunks.push_back(chunks.back() * n);
  return chunks;
}

int64_t Cascade::terms_after(int64_t rounds, int64_t terms) const {
  const std::vector<int64_t> c = chunks(rounds, terms);
  return c.empty() ? rounds * terms : ceil_div(rounds, c.back());
}

void Cascade::loop(int64_t rounds, int64_t terms, FunctionRef<void()> round) const {
  loop(rounds, rounds, terms, round);
}

void Cascade::loop(Arg rounds, int64_t bound, int64_t terms, FunctionRef<void()> round) const {
  level(chunks(bound, terms), 0, rounds, round);
}

void Cascade::level(const std::vector<int64_t>& chunks, size_t level, Arg rounds, FunctionRef<void()> round) const {
  if (level == chunks.size()) {
    const Int i = e_.integer();
    return e_.for_range(i, 0, rounds, 1, round);
  }
  const int64_t chunk = chunks[chunks.size() - 1 - level];
  std::vector<Vec> totals;
  for (const Vec sum : sums_) e_.set(totals.emplace_back(e_.vec()), sum);
  const Int left = e_.integer(), part = e_.integer();
  e_.set(left, rounds);
  e_.do_while(
      [&] {
        for (const Vec sum : sums_) e_.splat(sum, 0);
        e_.op(IntOp::min, part, left, chunk);
        this->level(chunks, level + 1, part, round);
        for (size_t i = 0; i < sums_.size(); ++i) e_.op(VecBinary::add, totals[i], totals[i], sums_[i]);
        add(e_, left, left, -chunk);
      },
      left, Compare::gt, 0);
  for (size_t i = 0; i < sums_.size(); ++i) e_.set(sums_[i], totals[i]);
}

void Cascade::nest(const std::vector<int64_t>& dims, const std::vector<Int>& pointers,
                   const std::vector<std::vector<int64_t>>& strides, int64_t terms, FunctionRef<void()> body) const {
  std::vector<int64_t> inside(dims.size(), terms);  // terms of a round of each loop
  for (size_t d = dims.size(); d-- > 1;) inside[d - 1] = terms_after(dims[d], inside[d]);
  kiln::nest(e_, dims, pointers, strides, 0, body,
             [&](size_t d, FunctionRef<void()> round) { loop(dims[d], inside[d], round); });
}

}  // namespace kiln
