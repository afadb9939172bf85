#include "jit/kernels/map_any_size.h"

#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

constexpr size_t kMostDims = 3;
/// The number of arguments that a call can pass on every machine.
constexpr size_t kMostParameters = 16;
/// Elements of a transpose that fits the caches.
constexpr int64_t kSmall = 1 << 16;

/// The kind of a stride along the last dim, on which code depends: none, one element, or any other.
enum Step : int64_t { kStays = 0, kNeighbour = 1, kStrided = 2 };
int64_t step_of(int64_t stride) { return stride == 0 || stride == 1 ? stride : int64_t{kStrided}; }

std::vector<const StridedOperand*> operands_of(const MapSpec& s) {
  std::vector<const StridedOperand*> out{&s.out};
  for (const StridedOperand& o : s.inputs) out.push_back(&o);
  return out;
}

class AnySizeMap {
 public:
  AnySizeMap(Emitter& emitter, const MapSpec& code, std::string name)
      : e_(emitter),
        s_(code),
        name_(std::move(name)),
        operands_(operands_of(s_)),
        outer_(static_cast<int>(s_.dims.size()) - 1) {}

  /// Units are rows: runs along the last dim.
  Func emit() {
    const Func row = emit_row();
    const auto count = static_cast<int>(operands_.size());
    const int sizes = 3 + count, strides = sizes + 1 + std::max(0, outer_ - 1), steps = strides + count * outer_;
    const Func f = e_.begin_function(name_, steps + strided());
    const Int t = e_.integer(), outer = e_.integer(), index = e_.integer();
    std::vector<Int> pointers;
    for (int p = 0; p < count; ++p) pointers.push_back(e_.integer());
    for_units(e_, [&](Int unit) {
      for (int p = 0; p < count; ++p) e_.set(pointers[static_cast<size_t>(p)], e_.param(3 + p));
      e_.set(outer, unit);
      for (int d = outer_; d-- > 0;) {
        if (d) split(e_, outer, e_.param(sizes + d), index, t);
        for (int p = 0; p < count; ++p) {
          const Int by = e_.integer(), pointer = pointers[static_cast<size_t>(p)];
          e_.op(IntOp::mul, by, d ? index : outer, e_.param(strides + p * outer_ + d));
          add(e_, pointer, pointer, by);
        }
        if (d) e_.set(outer, t);
      }
      std::vector<Arg> args(pointers.begin(), pointers.end());
      args.emplace_back(e_.param(sizes));
      for (int i = 0; i < strided(); ++i) args.emplace_back(e_.param(steps + i));
      e_.call(row, args);
    });
    e_.end_function();
    return f;
  }

 private:
  int64_t step(size_t operand) const { return operands_[operand]->strides.back(); }
  int strided() const {
    int n = 0;
    for (size_t p = 0; p < operands_.size(); ++p) n += step(p) == kStrided;
    return n;
  }

  /// row(pointers…, run, steps of the strided…)
  Func emit_row() {
    const auto count = static_cast<int>(operands_.size());
    const Func f = e_.begin_function(name_ + "_row", count + 1 + strided());
    const Int rounds = e_.integer(), rest = e_.integer(), i = e_.integer();
    steps_.clear();
    for (int p = 0, next = count + 1; p < count; ++p)
      steps_.push_back(step(static_cast<size_t>(p)) == kStrided ? Arg(e_.param(next++))
                                                                : Arg(step(static_cast<size_t>(p)) * 4));
    e_.op(IntOp::div, rounds, e_.param(count), e_.width());
    e_.op(IntOp::rem, rest, e_.param(count), e_.width());
    e_.for_range(i, 0, rounds, 1, [&] { elements(e_.width()); });
    e_.for_range(i, 0, rest, 1, [&] { elements(1); });
    e_.end_function();
    return f;
  }

  /// Reads, computes and writes so many elements, and moves the pointers.
  void elements(int lanes) {
    std::vector<Vec> inputs;
    for (size_t p = 1; p < operands_.size(); ++p) inputs.push_back(read(p, lanes));
    const Vec v = emit_expr(e_, s_.expr, inputs);
    const Int out = e_.param(0);
    const DType type = operands_[0]->dtype;
    if (step(0) == kStrided) {
      for (int i = 0; i < lanes; ++i, add(e_, out, out, steps_[0])) e_.store_lane({out, 0}, v, i);
    } else {
      e_.store({out, 0}, v, type, lanes);
      add(e_, out, out, 4 * lanes);
    }
  }
  Vec read(size_t p, int lanes) {
    const Int at = e_.param(static_cast<int>(p));
    if (step(p) != kStrided) {
      const Vec v = load_strided(e_, {at, 0}, operands_[p]->dtype, step(p), lanes);
      if (step(p)) add(e_, at, at, 4 * lanes);
      return v;
    }
    const Vec v = e_.vec();
    for (int i = 0; i < lanes; ++i, add(e_, at, at, steps_[p]))
      i ? e_.load_lane(v, i, {at, 0}) : e_.load(v, {at, 0}, DType::f32, 1);
    return v;
  }

  Emitter& e_;
  const MapSpec s_;
  std::string name_;
  std::vector<const StridedOperand*> operands_;
  int outer_;               // dims that rows enumerate
  std::vector<Arg> steps_;  // bytes, in the row being emitted
};

}  // namespace

bool any_size_possible(const MapSpec& s) {
  if (s.dims.empty() || s.dims.size() > kMostDims) return false;
  int64_t elements = 1;
  for (int64_t d : s.dims) elements *= d;
  size_t strided = 0;
  for (const StridedOperand* o : operands_of(s)) {
    if (o->dtype != DType::f32 && o->dtype != DType::i32) return false;
    strided += step_of(o->strides.back()) == kStrided;
  }
  if (s.out.strides.back() == 0 || (strided && elements > kSmall)) return false;
  return 3 + 1 + s.inputs.size() + any_size_sizes(s).size() <= kMostParameters;
}

MapSpec any_size_code(const MapSpec& s) {
  MapSpec code = s;
  code.dims.assign(s.dims.size(), 1);
  const auto forget = [](StridedOperand& o) {
    const int64_t step = step_of(o.strides.back());
    o.strides.assign(o.strides.size(), 0);
    o.strides.back() = step;
  };
  forget(code.out);
  for (StridedOperand& o : code.inputs) forget(o);
  return code;
}

/// The last dim, the dims between it and the first; strides along all but the last, operand by operand; steps along the
/// last where they are strides. In bytes.
std::vector<int64_t> any_size_sizes(const MapSpec& s) {
  std::vector<int64_t> out{s.dims.back()};
  const size_t outer = s.dims.size() - 1;
  for (size_t d = 1; d < outer; ++d) out.push_back(s.dims[d]);
  for (const StridedOperand* o : operands_of(s))
    for (size_t d = 0; d < outer; ++d) out.push_back(o->strides[d] * 4);
  for (const StridedOperand* o : operands_of(s))
    if (step_of(o->strides.back()) == kStrided) out.push_back(o->strides.back() * 4);
  return out;
}

int64_t any_size_units(const MapSpec& s) {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < s.dims.size(); ++d) rows *= s.dims[d];
  return rows;
}

Func emit_any_size_map(Emitter& emitter, const MapSpec& code, const std::string& name) {
  return AnySizeMap(emitter, code, name).emit();
}

}  // namespace kiln
