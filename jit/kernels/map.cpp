// Pointwise expressions over strided operands. Vectors run along the dim in which the output is contiguous.
#include <algorithm>
#include <cstdlib>

#include "jit/epilogue.h"
#include "jit/fields.h"
#include "jit/kernels/families.h"
#include "jit/kernels/loops.h"
#include "jit/kernels/map_any_size.h"
#include "jit/touch.h"

namespace kiln {
namespace {

/// Elements of a unit of work: the most, and about how many.
constexpr int64_t kUnit = 4096;
constexpr int64_t kWord = 4;
/// Columns of a block of a transpose. So many input lines stay in the first-level cache.
constexpr int64_t kMaxBlock = 64, kMinBlock = 16;
/// … if they lie in enough of its sets: steps of a large power of two meet few of them. It is taken for one of 64 sets
/// of 8 lines of 64 bytes.
int64_t most_columns(int64_t step) {
  constexpr int64_t kLine = 64, kWays = 8;
  if (step % kLine) return kMaxBlock;
  int64_t sets = 64;
  for (int64_t lines = step / kLine; sets > 1 && lines % 2 == 0; lines /= 2) sets /= 2;
  return std::min(kMaxBlock, sets * kWays);
}

const MapSpec& spec_of(const KernelSpec& spec) { return *std::get_if<MapSpec>(&spec); }

/// The dims in the order of the loops, the vector dim last. Units enumerate the first `unit_dims` dims.
struct Box {
  std::vector<int64_t> dims;
  std::vector<std::vector<int64_t>> strides;  ///< out, inputs; elements
  int64_t rest = 0;                           ///< > 0: extent of dim `unit_dims` in the last of its chunks
  size_t unit_dims = 0;

  explicit Box(const MapSpec& s) : dims(s.dims) {
    strides.push_back(s.out.strides);
    for (const StridedOperand& o : s.inputs) strides.push_back(o.strides);
    for (auto& st : strides) st.resize(dims.size());
    for (size_t d = dims.size(); d-- > 0;)
      if (dims[d] == 1) erase(d);
    if (dims.empty()) insert(0, 1, 0);
    sort_by_output();
    merge();
    choose_vector_dim();
    block_transpose();
    cut_units();
  }
  int64_t units() const {
    int64_t n = 1;
    for (size_t d = 0; d < unit_dims; ++d) n *= dims[d];
    return n;
  }

 private:
  void erase(size_t d) {
    dims.erase(dims.begin() + static_cast<long>(d));
    for (auto& st : strides) st.erase(st.begin() + static_cast<long>(d));
  }
  void insert(size_t d, int64_t extent, int64_t stride) {
    dims.insert(dims.begin() + static_cast<long>(d), extent);
    for (auto& st : strides) st.insert(st.begin() + static_cast<long>(d), stride);
  }
  void move(size_t from, size_t to) {
    const auto shift = [&](std::vector<int64_t>& v) {
      const int64_t x = v[from];
      v.erase(v.begin() + static_cast<long>(from));
      v.insert(v.begin() + static_cast<long>(to), x);
    };
    shift(dims);
    for (auto& st : strides) shift(st);
  }
  /// Dim d becomes [extent / inner, inner]. The caller handles a remainder, if there can be one.
  void split(size_t d, int64_t inner) {
    dims[d] = ceil_div(dims[d], inner);
    dims.insert(dims.begin() + static_cast<long>(d) + 1, inner);
    for (auto& st : strides) {
      st.insert(st.begin() + static_cast<long>(d) + 1, st[d]);
      st[d] *= inner;
    }
  }
  /// Elements are independent, so loops may have any order. Here output strides descend.
  void sort_by_output() {
    for (size_t i = 1; i < dims.size(); ++i)
      for (size_t j = i; j > 0 && strides[0][j - 1] < strides[0][j]; --j) move(j, j - 1);
  }
  void merge() {
    for (size_t d = dims.size(); d-- > 1;) {
      bool whole = true;
      for (const auto& st : strides) whole &= st[d - 1] == st[d] * dims[d];
      if (!whole) continue;
      const int64_t inner = dims[d];
      for (auto& st : strides) st[d - 1] = st[d];
      erase(d);
      dims[d - 1] *= inner;
    }
  }
  /// A few output neighbours (channels of an image) are not worth a vector if the inputs have a longer contiguous run.
  void choose_vector_dim() {
    if (dims.back() >= 4) return;
    for (size_t d = dims.size() - 1; d-- > 0;) {
      bool contiguous = dims[d] >= 16;
      for (size_t p = 1; p < strides.size(); ++p) contiguous &= strides[p][d] == 0 || strides[p][d] == 1;
      if (contiguous) return move(d, dims.size() - 1);
    }
  }
  /// For an input that is contiguous along another dim than the output: moves that dim next to the vector dim, in
  /// blocks. The input lines of a block stay in the cache until all their elements are used.
  void block_transpose() {
    const size_t last = dims.size() - 1;
    for (size_t p = 1; p < strides.size(); ++p) {
      if (strides[p][last] == 0 || strides[p][last] == 1) continue;
      for (size_t d = 0; d < last; ++d) {
        if (strides[p][d] != 1) continue;
        move(d, last - 1);
        const int64_t most = most_columns(std::abs(strides[p][last]) * kWord);
        for (int64_t block = most; block >= std::min(kMinBlock, most / 2); --block) {
          if (dims[last] <= most || dims[last] % block) continue;
          split(last, block);
          move(last, last - 1);  // [D, V/block, block] → [V/block, D, block]
          break;
        }
        return;
      }
    }
  }
  void cut_units() {
    int64_t inner = 1;
    for (int64_t d : dims) inner *= d;
    while (unit_dims + 1 < dims.size() && inner / dims[unit_dims] > kUnit) inner /= dims[unit_dims++];
    const int64_t extent = dims[unit_dims];
    const int64_t chunk = std::min(extent, std::max<int64_t>(1, kUnit / (inner / extent)));
    rest = extent % chunk;
    split(unit_dims++, chunk);
  }
};

class MapEmitter {
 public:
  MapEmitter(Emitter& emitter, const MapSpec& spec, std::string name)
      : e_(emitter), s_(spec), name_(std::move(name)), box_(spec) {
    types_.push_back(s_.out.dtype);
    for (const StridedOperand& o : s_.inputs) types_.push_back(o.dtype);
    lanes_.assign(types_.size(), s_.expr.lane());
    for (const PointInst& i : s_.expr.insts)
      if (i.op == PointOp::input) lanes_[1u + i.a] = i.lane;
  }

  Func emit() {
    const int64_t chunk = box_.dims[box_.unit_dims];
    const Func whole = emit_unit(chunk);
    const Func last = box_.rest ? emit_unit(box_.rest) : whole;
    const Func f = e_.begin_function(name_, static_cast<int>(3 + types_.size()));
    const Int i = e_.integer();
    const std::vector<int64_t> dims(box_.dims.begin(), box_.dims.begin() + static_cast<long>(box_.unit_dims));
    UnitOperands operands(e_, dims);
    for (size_t p = 0; p < types_.size(); ++p)
      operands.add(static_cast<int>(3 + p), size_of(types_[p]), box_.strides[p]);
    for_units(e_, [&](Int unit) {
      const std::vector<Arg> args = operands.at(unit);
      if (!box_.rest) return e_.call(whole, args);
      e_.op(IntOp::rem, i, unit, dims.back());
      e_.if_(
          i, Compare::lt, dims.back() - 1, [&] { e_.call(whole, args); }, [&] { e_.call(last, args); });
    });
    e_.end_function();
    return f;
  }

 private:
  /// unit(out, inputs…): the dims that units do not enumerate, the first of them with `extent` elements.
  Func emit_unit(int64_t extent) {
    const Func f = e_.begin_function(name_ + "_unit" + std::to_string(extent), static_cast<int>(types_.size()));
    std::vector<int64_t> dims(box_.dims.begin() + static_cast<long>(box_.unit_dims), box_.dims.end());
    dims[0] = extent;
    const int64_t run = dims.back();
    dims.pop_back();
    std::vector<Int> pointers;
    std::vector<std::vector<int64_t>> outer;
    std::vector<int64_t> steps;
    for (size_t p = 0; p < types_.size(); ++p) {
      pointers.push_back(e_.param(static_cast<int>(p)));
      outer.emplace_back();
      for (size_t d = 0; d < dims.size(); ++d)
        outer[p].push_back(box_.strides[p][box_.unit_dims + d] * size_of(types_[p]));
      steps.push_back(box_.strides[p].back() * size_of(types_[p]));
    }
    const size_t size = s_.expr.insts.size();
    const int unroll = has_pairs(s_.expr) ? 1 : size <= 6 ? 4 : size <= 24 ? 2 : 1;
    nest(e_, dims, pointers, outer, 0, [&] {
      std::vector<integer::Wide> inputs(types_.size() - 1);
      for (size_t p = 1; p < types_.size(); ++p)  // the same along the run
        if (steps[p] == 0) inputs[p - 1] = load_strided(e_, {pointers[p], 0}, types_[p], lanes_[p], 0, e_.width());
      for_vectors(e_, run, unroll, pointers, steps, [&](int64_t element, int lanes) {
        for (size_t p = 1; p < types_.size(); ++p)
          if (steps[p])
            inputs[p - 1] = load_strided(e_, {pointers[p], element * steps[p]}, types_[p], lanes_[p],
                                         box_.strides[p].back(), lanes);
        const integer::Wide v = emit_wide_expr(e_, s_.expr, inputs);
        store_strided(e_, {pointers[0], element * steps[0]}, v, types_[0], lanes_[0], box_.strides[0].back(), lanes);
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
  std::vector<Lane> lanes_;
};

int64_t units(const KernelSpec& spec, const Schedule& schedule, const Target&) {
  return schedule.any_size ? any_size_units(spec_of(spec)) : Box(spec_of(spec)).units();
}
int64_t no_scratch(const KernelSpec&, const Schedule&, const Target&) { return 0; }
bool feasible(const KernelSpec& spec, const Schedule& schedule, const Target&) {
  return !schedule.any_size || any_size_possible(spec_of(spec));
}
KernelCode code(const KernelSpec& spec, const Schedule& schedule) {
  return {schedule.any_size ? any_size_code(spec_of(spec)) : spec_of(spec), schedule};
}
std::vector<int64_t> sizes(const KernelSpec& spec, const Schedule& schedule, const Target&) {
  return schedule.any_size ? any_size_sizes(spec_of(spec)) : std::vector<int64_t>{};
}
Func emit(Emitter& e, const KernelSpec& spec, const Schedule& schedule, const std::string& name) {
  return schedule.any_size ? emit_any_size_map(e, spec_of(spec), name) : MapEmitter(e, spec_of(spec), name).emit();
}

using Spec = MapSpec;
constexpr Field kFieldList[] = {
    KILN_FIELD("d", dims),    KILN_FIELD("to", out.dtype), KILN_FIELD("so", out.strides),
    KILN_FIELD("expr", expr), KILN_FIELD("", inputs),
};
constexpr FieldList kFields = list_of("map", kFieldList);

void operands(const KernelSpec& spec, Operands& o) {
  const MapSpec& s = spec_of(spec);
  o.writes("out", s.out.dtype).along(s.dims, s.out.strides);
  for (const StridedOperand& in : s.inputs) o.reads("in", in.dtype).along(s.dims, in.strides);
}

Work work(const KernelSpec& spec) {
  const MapSpec& s = spec_of(spec);
  double bytes = static_cast<double>(size_of(s.out.dtype));
  for (const StridedOperand& o : s.inputs) bytes += static_cast<double>(size_of(o.dtype));
  return {volume(s.dims) * static_cast<double>(s.expr.insts.size() - s.inputs.size()), volume(s.dims) * bytes};
}

}  // namespace

const Family kMapFamily{"map", &kFields, operands, work, units, no_scratch, feasible, emit, code, sizes};

}  // namespace kiln
