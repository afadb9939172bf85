// Running sums along any axis. Lanes run across another dim: contiguous neighbours if there are any, else sequences
// side by side.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

/// How many vectors of neighbours run together, to hide the latency of an addition.
constexpr int kVectors = 4;
/// Steps after which the lost part is added to the sum. Until then it is so small that it loses nothing itself.
constexpr int64_t kRun = 64;

const ScanSpec& spec_of(const KernelSpec& spec) { return *std::get_if<ScanSpec>(&spec); }

/// Which sequences a unit computes.
struct Lanes {
  size_t dim = SIZE_MAX;  ///< that lanes run across; none: one sequence a unit
  int64_t block = 1, blocks = 1,
          rest = 0;  ///< of that dim: elements of a block, how many, of the last if it is shorter

  Lanes(const ScanSpec& s, const Target& target) {
    bool neighbours = false;
    for (size_t d = 0; d < s.dims.size(); ++d) {
      if (s.dims[d] == 1) continue;
      const bool contiguous = s.in[d] == 1 && s.out[d] == 1;
      if (dim == SIZE_MAX || contiguous || (!neighbours && s.dims[d] > s.dims[dim])) dim = d;
      neighbours = neighbours || contiguous;
    }
    if (dim == SIZE_MAX) return;
    block = std::min<int64_t>(s.dims[dim], int64_t{neighbours ? kVectors : 1} * target.width);
    blocks = ceil_div(s.dims[dim], block);
    rest = s.dims[dim] % block;
  }
  int64_t units(const ScanSpec& s) const {
    int64_t n = blocks;
    for (size_t d = 0; d < s.dims.size(); ++d) n *= d == dim ? 1 : s.dims[d];
    return n;
  }
};

class ScanEmitter {
 public:
  ScanEmitter(Emitter& emitter, const ScanSpec& spec, std::string name)
      : e_(emitter), s_(spec), name_(std::move(name)), lanes_(spec, emitter.target()), size_(size_of(spec.dtype)) {}

  Func emit() {
    const Func whole = emit_unit(lanes_.block);
    const Func last = lanes_.rest ? emit_unit(lanes_.rest) : whole;
    std::vector<int64_t> dims = s_.dims;  // blocks are innermost
    if (lanes_.dim != SIZE_MAX) dims[lanes_.dim] = 1;
    dims.push_back(lanes_.blocks);
    const Func f = e_.begin_function(name_, 5);
    UnitOperands operands(e_, dims);
    const auto operand = [&](int param, std::vector<int64_t> strides) {
      const int64_t of_block = lanes_.block * lane_stride(strides);
      strides.push_back(of_block);
      operands.add(param, size_, std::move(strides));
    };
    operand(3, s_.out);
    operand(4, s_.in);
    const Int block = e_.integer();
    for_units(e_, [&](Int unit) {
      const std::vector<Arg> args = operands.at(unit);
      if (!lanes_.rest) return e_.call(whole, args);
      e_.op(IntOp::rem, block, unit, lanes_.blocks);
      e_.if_(
          block, Compare::lt, lanes_.blocks - 1, [&] { e_.call(whole, args); }, [&] { e_.call(last, args); });
    });
    e_.end_function();
    return f;
  }

 private:
  int64_t lane_stride(const std::vector<int64_t>& strides) const {
    return lanes_.dim == SIZE_MAX ? 1 : strides[lanes_.dim];
  }

  /// unit(out, in): `run` sequences side by side.
  Func emit_unit(int64_t run) {
    const Func f = e_.begin_function(name_ + "_unit" + std::to_string(run), 2);
    const int w = e_.width();
    for (int64_t at = 0; at < run; at += w) {
      widths_.push_back(static_cast<int>(std::min<int64_t>(w, run - at)));
      sums_.push_back(e_.vec());
      lost_.push_back(e_.vec());
      e_.splat_i32(sums_.back(), 0);
      e_.splat_i32(lost_.back(), 0);
    }
    const Int i = e_.integer();
    if (s_.dtype != DType::f32) {
      e_.for_range(i, 0, s_.count, 1, [&] { step(); });
    } else {
      const Int left = e_.integer(), part = e_.integer();
      e_.set(left, s_.count);
      e_.do_while(
          [&] {
            e_.op(IntOp::min, part, left, kRun);
            e_.for_range(i, 0, part, 1, [&] { step(); });
            for (size_t v = 0; v < sums_.size(); ++v) settle(sums_[v], lost_[v]);
            add(e_, left, left, -kRun);
          },
          left, Compare::gt, 0);
    }
    e_.end_function();
    sums_.clear(), lost_.clear(), widths_.clear();
    return f;
  }

  /// One element of each sequence.
  void step() {
    const int64_t in_stride = lane_stride(s_.in), out_stride = lane_stride(s_.out);
    const Int out = e_.param(0), in = e_.param(1);
    for (size_t v = 0; v < sums_.size(); ++v) {
      const int64_t at = static_cast<int64_t>(v) * e_.width();
      if (s_.dtype == DType::i64) {
        const integer::Wide sum{sums_[v], lost_[v]};  // two halves
        const integer::Wide next = integer::add(
            e_, sum, load_strided(e_, {in, at * in_stride * size_}, s_.dtype, Lane::i64, in_stride, widths_[v]));
        e_.set(sum.low, next.low);
        e_.set(sum.high, next.high);
        store_strided(e_, {out, at * out_stride * size_}, sum, s_.dtype, Lane::i64, out_stride, widths_[v]);
        continue;
      }
      const Vec x = load_strided(e_, {in, at * in_stride * size_}, s_.dtype, in_stride, widths_[v]);
      store_strided(e_, {out, at * out_stride * size_}, take(sums_[v], lost_[v], x), s_.dtype, out_stride, widths_[v]);
    }
    add(e_, in, in, s_.in_step * size_);
    add(e_, out, out, s_.out_step * size_);
  }

  Vec op(VecBinary o, Vec a, Vec b) {
    const Vec r = e_.vec();
    e_.op(o, r, a, b);
    return r;
  }
  /// A NaN becomes 0, because an infinity loses nothing.
  Vec number(Vec v) {
    const Vec is = e_.vec();
    e_.compare(is, Lane::f32, Compare::eq, v, v);
    return op(VecBinary::and_, v, is);
  }

  /// Adds x and keeps what the addition rounds off (Knuth's TwoSum). The result is as good as that of a sum in double
  /// precision.
  Vec take(Vec sum, Vec lost, Vec x) {
    if (s_.dtype != DType::f32) {
      e_.op(VecBinary::i32_add, sum, sum, x);
      return sum;
    }
    const Vec next = op(VecBinary::add, sum, x), virtual_x = op(VecBinary::sub, next, sum),
              of_sum = op(VecBinary::sub, sum, op(VecBinary::sub, next, virtual_x)),
              of_x = op(VecBinary::sub, x, virtual_x);
    e_.op(VecBinary::add, lost, lost, number(op(VecBinary::add, of_sum, of_x)));
    e_.set(sum, next);
    return op(VecBinary::add, sum, lost);
  }
  void settle(Vec sum, Vec lost) {
    const Vec next = op(VecBinary::add, sum, lost);
    e_.set(lost, number(op(VecBinary::sub, lost, op(VecBinary::sub, next, sum))));
    e_.set(sum, next);
  }

  Emitter& e_;
  ScanSpec s_;
  std::string name_;
  Lanes lanes_;
  int64_t size_;
  std::vector<Vec> sums_, lost_;  // of the unit that is being emitted
  std::vector<int> widths_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target& target) {
  return Lanes(spec_of(spec), target).units(spec_of(spec));
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) {
  return ScanEmitter(e, spec_of(spec), name).emit();
}

}  // namespace

const Family kScanFamily{"scan", units, no_scratch, feasible, emit};

}  // namespace kiln
