#include "jit/kernels/reduce_wide.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

using integer::Wide;

class WideReduce {
 public:
  WideReduce(Emitter& emitter, const ReduceSpec& spec) : e_(emitter), s_(spec), size_(size_of(spec.dtype)) {}

  /// One result of each lane, of elements that are neighbours in memory from `in` on.
  Wide fold(Int in, int lanes) {
    const bool counts = s_.kind == ReduceKind::argmax || s_.kind == ReduceKind::argmin;
    const Wide best = start(in, lanes);
    const Vec index = splat(0), best_index = splat(0), one = splat(1);
    nest(e_, s_.reduced, {in}, {bytes(SIZE_MAX)}, 0, [&] {
      const Wide x = load({in, 0}, 1, lanes);
      if (!counts) return combine(best, x);
      const Vec better = beats(x, best);
      set(best, integer::select(e_, better, x, best));
      e_.select(best_index, better, index, best_index);
      e_.op(VecBinary::i32_add, index, index, one);
    });
    return counts ? integer::from_i32(e_, best_index) : best;
  }

  /// One result in every lane; the lanes share rows along `row_dim`.
  Wide fold_row(Int in, size_t row_dim) {
    const int w = e_.width();
    const int64_t run = s_.reduced[row_dim], rounds = run / w;
    std::vector<int64_t> outer = s_.reduced;
    outer.erase(outer.begin() + static_cast<long>(row_dim));
    const Wide sum = start(in, 0), rest = start(in, 0);
    nest(e_, outer, {in}, {bytes(row_dim)}, 0, [&] {
      const Int i = e_.integer();
      e_.for_range(i, 0, rounds, 1, [&] {
        combine(sum, load({in, 0}, 1, w));
        add(e_, in, in, w * size_);
      });
      for (int64_t at = 0; at < run % w; ++at) combine(rest, load({in, at * size_}, 0, w));
      add(e_, in, in, -rounds * w * size_);
    });
    for (int distance = w / 2; distance >= 1; distance /= 2) {
      const Wide turned{e_.vec(), e_.vec()};
      e_.rotate(turned.low, sum.low, distance);
      e_.rotate(turned.high, sum.high, distance);
      combine(sum, turned);
    }
    combine(sum, rest);
    return sum;
  }

 private:
  std::vector<int64_t> bytes(size_t without) const {
    std::vector<int64_t> out;
    for (size_t d = 0; d < s_.reduced.size(); ++d)
      if (d != without) out.push_back(s_.in_reduced[d] * size_);
    return out;
  }
  Vec splat(int32_t v) {
    const Vec r = e_.vec();
    e_.splat_i32(r, v);
    return r;
  }
  void set(Wide to, Wide from) {
    e_.set(to.low, from.low);
    e_.set(to.high, from.high);
  }
  Wide load(Mem at, int64_t stride, int lanes) {
    if (s_.dtype == DType::i64) return load_strided(e_, at, s_.dtype, Lane::i64, stride, lanes);
    const Vec v = load_strided(e_, at, s_.dtype, stride, lanes);
    if (s_.dtype == DType::boolean) e_.op(VecBinary::and_, v, v, splat(1));
    return integer::from_i32(e_, v);
  }
  /// What a fold begins with; `lanes`: 0 for one element in all of them.
  Wide start(Int in, int lanes) {
    const Wide v{e_.vec(), e_.vec()};
    if (s_.kind == ReduceKind::sum || s_.kind == ReduceKind::prod)
      set(v, integer::constant(e_, s_.kind == ReduceKind::prod));
    else
      set(v, load({in, 0}, lanes ? 1 : 0, lanes ? lanes : e_.width()));
    return v;
  }
  Vec beats(Wide x, Wide best) {
    const bool greatest = s_.kind == ReduceKind::max || s_.kind == ReduceKind::argmax;
    return integer::compare(e_, greatest ? Compare::gt : Compare::lt, x, best);
  }
  void combine(Wide into, Wide x) {
    switch (s_.kind) {
      case ReduceKind::sum:
        return set(into, integer::add(e_, into, x));
      case ReduceKind::prod:
        return set(into, integer::multiply(e_, into, x));
      default:
        return set(into, integer::select(e_, beats(x, into), x, into));
    }
  }

  Emitter& e_;
  const ReduceSpec& s_;
  int64_t size_;
};

}  // namespace

void emit_wide_unit(Emitter& e, const ReduceSpec& s, size_t lane_dim, size_t row_dim, int64_t run) {
  const Int out = e.param(1), in = e.integer();
  WideReduce reduce(e, s);
  if (lane_dim == SIZE_MAX && row_dim != SIZE_MAX) {
    e.set(in, e.param(2));
    return store_strided(e, {out, 0}, reduce.fold_row(in, row_dim), DType::i64, Lane::i64, 1, 1);
  }
  const int64_t stride = lane_dim == SIZE_MAX ? 1 : s.out_kept[lane_dim];
  for (int64_t at = 0; at < run; at += e.width()) {
    const auto lanes = static_cast<int>(std::min<int64_t>(e.width(), run - at));
    add(e, in, e.param(2), at * size_of(s.dtype));
    store_strided(e, {out, at * stride * 8}, reduce.fold(in, lanes), DType::i64, Lane::i64, stride, lanes);
  }
}

}  // namespace kiln
