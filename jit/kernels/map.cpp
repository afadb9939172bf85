// Pointwise expressions over strided boxes: vectors along the dim in which the output is contiguous.
#include <algorithm>

#include "jit/epilogue.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"

namespace kiln {
namespace {

/// Elements of a one-dimensional box that make a unit of work.
constexpr int64_t kChunk = 4096;

const MapSpec& spec_of(const KernelSpec& spec) { return *std::get_if<MapSpec>(&spec); }

/// The box with its vector dim last, and one-dimensional boxes cut into chunks (the last may be shorter: `rest`).
struct Box {
  std::vector<int64_t> dims;
  std::vector<std::vector<int64_t>> strides;  ///< out, inputs; elements
  int64_t rest = 0;                           ///< > 0: elements of the last unit's run
  size_t unit_dims = 1;                       ///< leading dims that units enumerate

  int64_t units() const {
    int64_t n = 1;
    for (size_t d = 0; d < unit_dims; ++d) n *= dims[d];
    return n;
  }
};

Box box_of(const MapSpec& s) {
  Box b;
  b.dims = s.dims;
  b.strides.push_back(s.out.strides);
  for (const StridedOperand& o : s.inputs) b.strides.push_back(o.strides);
  if (b.dims.empty()) b.dims = {1};
  for (auto& st : b.strides) st.resize(b.dims.size());
  size_t vector_dim = b.dims.size() - 1;
  for (size_t d = 0; d < b.dims.size(); ++d)
    if (b.strides[0][d] == 1 && b.dims[d] > 1) vector_dim = d;
  const auto rotate = [&](std::vector<int64_t>& v) { std::rotate(v.begin() + static_cast<long>(vector_dim), v.begin() + static_cast<long>(vector_dim) + 1, v.end()); };
  rotate(b.dims);
  for (auto& st : b.strides) rotate(st);
  if (b.dims.size() == 1) {
    const int64_t n = b.dims[0], chunk = std::min(n, kChunk);
    b.dims = {ceil_div(n, chunk), chunk};
    b.rest = n % chunk;
    for (auto& st : b.strides) st = {st[0] * chunk, st[0]};
  } else if (b.dims.size() > 2 && b.dims[0] < 16) {
    b.unit_dims = 2;
  }
  return b;
}

class MapEmitter {
 public:
  MapEmitter(Emitter& emitter, const MapSpec& spec, std::string name) : e_(emitter), s_(spec), name_(std::move(name)), box_(box_of(spec)) {
    types_.push_back(s_.out.dtype);
    for (const StridedOperand& o : s_.inputs) types_.push_back(o.dtype);
  }

  Func emit() {
    const int64_t run = box_.dims.back();
    const Func whole = emit_unit(run);
    const Func last = box_.rest ? emit_unit(box_.rest) : whole;
    const Func f = e_.begin_function(name_, static_cast<int>(3 + types_.size()));
    const Int t = e_.integer(), rest = e_.integer(), i = e_.integer();
    for_units(e_, [&](Int unit) {
      std::vector<Int> pointers;
      for (size_t p = 0; p < types_.size(); ++p) {
        pointers.push_back(e_.integer());
        e_.set(pointers[p], e_.param(static_cast<int>(3 + p)));
      }
      e_.set(rest, unit);
      for (size_t d = box_.unit_dims; d-- > 0;) {
        if (d == 0)
          e_.set(i, rest);
        else
          e_.op(IntOp::rem, i, rest, box_.dims[d]), e_.op(IntOp::div, rest, rest, box_.dims[d]);
        for (size_t p = 0; p < types_.size(); ++p) {
          if (!box_.strides[p][d]) continue;
          e_.op(IntOp::mul, t, i, box_.strides[p][d] * size_of(types_[p]));
          add(e_, pointers[p], pointers[p], t);
        }
      }
      const std::vector<Arg> args(pointers.begin(), pointers.end());
      if (box_.rest)
        e_.if_(unit, Compare::lt, box_.units() - 1, [&] { e_.call(whole, args); }, [&] { e_.call(last, args); });
      else
        e_.call(whole, args);
    });
    e_.end_function();
    return f;
  }

 private:
  /// unit(out, inputs…): the dims that units do not enumerate, with `run` elements in the innermost.
  Func emit_unit(int64_t run) {
    const Func f = e_.begin_function(name_ + "_run" + std::to_string(run), static_cast<int>(types_.size()));
    std::vector<Int> pointers;
    std::vector<std::vector<int64_t>> outer;
    std::vector<int64_t> steps;
    for (size_t p = 0; p < types_.size(); ++p) {
      pointers.push_back(e_.param(static_cast<int>(p)));
      std::vector<int64_t> bytes;
      for (size_t d = box_.unit_dims; d + 1 < box_.dims.size(); ++d) bytes.push_back(box_.strides[p][d] * size_of(types_[p]));
      outer.push_back(bytes);
      steps.push_back(box_.strides[p].back() * size_of(types_[p]));
    }
    const std::vector<int64_t> dims(box_.dims.begin() + static_cast<long>(box_.unit_dims), box_.dims.end() - 1);
    const int unroll = s_.expr.insts.size() <= 6 ? 4 : 1;
    nest(e_, dims, pointers, outer, 0, [&] {
      for_vectors(e_, run, unroll, pointers, steps, [&](int64_t element, int lanes) {
        std::vector<Vec> inputs;
        for (size_t p = 1; p < types_.size(); ++p) {
          const Mem at{pointers[p], element * steps[p]};
          inputs.push_back(load_strided(e_, at, types_[p], box_.strides[p].back(), lanes));
        }
        const Vec v = emit_expr(e_, s_.expr, inputs);
        store_strided(e_, {pointers[0], element * steps[0]}, v, types_[0], box_.strides[0].back(), lanes);
      });
    });
    e_.end_function();
    return f;
  }

  Emitter& e_;
  MapSpec s_;
  std::string name_;
  Box box_;
  std::vector<DType> types_;
};

int64_t units(const KernelSpec& spec, const Schedule&, const Target&) { return box_of(spec_of(spec)).units(); }
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec&, const Schedule&, const Target&) { return true; }
Func emit(Emitter& e, const KernelSpec& spec, const Schedule&, const std::string& name) { return MapEmitter(e, spec_of(spec), name).emit(); }

}  // namespace

const Family kMapFamily{"map", units, no_scratch, feasible, emit};

}  // namespace kiln
