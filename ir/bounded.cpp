// Values whose size along an axis a run decides: what follows them is computed over the largest size that there may be.
// That is right where each part along the axis is computed alone, which is what this file knows of every canonical
// node.
#include <algorithm>

#include "ir/legalizer.h"

namespace kiln {
namespace {

using Bound = Legalizer::Bound;

bool before(const Bound& bound, ValueId value) { return bound.value < value; }

int64_t size_before(const Shape& shape, size_t axis) {
  return element_count({shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis)});
}

class Follower {
 public:
  Follower(const Legalizer& l, const Node& node) : l_(l), b_(l.b), node_(node), out_(shape_of(l, node)) {}

  /// The axis of the results that is bounded as an operand is; −1: the parts are not computed alone.
  int64_t axis() {
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      const Bound* found = node_.inputs[i] == kNoValue ? nullptr : l_.bound_of(node_.inputs[i]);
      if (!found) continue;
      const int64_t at = axis_of(i, *found);
      if (at < 0 || (bound && (at != axis_ || found->count != bound->count))) return -1;
      axis_ = at, bound = found;
    }
    return others_fit() ? axis_ : -1;
  }
  const Bound* bound = nullptr;  ///< of an operand, until another value is bounded

 private:
  static const Shape& shape_of(const Legalizer& l, const Node& node) {
    return l.b.shape(*std::max_element(node.outputs.begin(), node.outputs.end()));
  }
  int64_t axis_of(size_t operand, const Bound& bounded) const {
    const int64_t a = bounded.axis;
    const auto rank = static_cast<int64_t>(out_.size()), own = b_.rank(node_.inputs[operand]);
    const auto along = [&](int64_t axis) { return axis != a ? a : -1; };
    switch (node_.op) {
      case Op::map:
      case Op::expand:
        return out_[static_cast<size_t>(rank - own + a)] == size(operand, a) ? rank - own + a : -1;
      case Op::permute: {
        const auto& axes = std::get_if<PermuteAttrs>(&node_.attrs)->axes;
        return std::find(axes.begin(), axes.end(), a) - axes.begin();
      }
      case Op::reshape:
        return reshaped(operand, a);
      case Op::slice: {
        const auto& s = *std::get_if<SliceAttrs>(&node_.attrs);
        const auto at = static_cast<size_t>(a);
        return s.start[at] == 0 && s.step[at] == 1 && out_[at] == size(operand, a) ? a : -1;
      }
      case Op::pad: {
        const auto& p = *std::get_if<PadAttrs>(&node_.attrs);
        return p.before[static_cast<size_t>(a)] == 0 && p.after[static_cast<size_t>(a)] == 0 ? a : -1;
      }
      case Op::concat:
        return along(std::get_if<AxisAttrs>(&node_.attrs)->axis);
      case Op::scan:
        return along(std::get_if<ScanAttrs>(&node_.attrs)->axis);
      case Op::sort:
        return along(std::get_if<SortAttrs>(&node_.attrs)->axis);
      case Op::taps:
        return along(std::get_if<TapsAttrs>(&node_.attrs)->axis);
      case Op::softmax:
        return along(std::get_if<NormAttrs>(&node_.attrs)->axis);
      case Op::layer_norm:
        return operand == 0 && a < std::get_if<NormAttrs>(&node_.attrs)->axis ? a : -1;
      case Op::conv:
      case Op::pool:
        return operand == 0 && a == 0 ? a : -1;
      case Op::matmul:
        return operand == 0 && a == own - 2 && own > 1 ? rank - 2 : -1;
      case Op::reduce:
        return reduced(a);
      case Op::gather:
        return gathered(operand, bounded);
      default:
        return -1;
    }
  }
  Dim size(size_t operand, int64_t axis) const { return b_.shape(node_.inputs[operand])[static_cast<size_t>(axis)]; }

  int64_t reshaped(size_t operand, int64_t axis) const {
    const Shape& from = b_.shape(node_.inputs[operand]);
    for (size_t i = 0; i < out_.size(); ++i)
      if (out_[i] == size(operand, axis) && size_before(out_, i) == size_before(from, static_cast<size_t>(axis)))
        return static_cast<int64_t>(i);
    return -1;
  }
  int64_t reduced(int64_t axis) const {
    const auto& r = *std::get_if<ReduceAttrs>(&node_.attrs);
    if (std::find(r.axes.begin(), r.axes.end(), axis) != r.axes.end()) return -1;
    if (r.keepdim) return axis;
    return axis - std::count_if(r.axes.begin(), r.axes.end(), [&](int64_t a) { return a < axis; });
  }
  /// What lies beyond the true size is an index as well, and must be one that there is.
  int64_t gathered(size_t operand, const Bound& bounded) const {
    const auto& g = *std::get_if<GatherAttrs>(&node_.attrs);
    const int64_t a = bounded.axis;
    if (operand == 1) return bounded.zeros && a >= g.batch ? g.axis + a - g.batch : -1;
    if (a < g.batch || a == g.axis) return -1;
    return a < g.axis ? a : a - 1 + b_.rank(node_.inputs[1]) - g.batch;
  }
  /// No operand that is not bounded has parts along the axis: their number would have to be the true size.
  bool others_fit() const {
    if (node_.op != Op::map && node_.op != Op::concat && node_.op != Op::expand) return true;
    for (ValueId id : node_.inputs) {
      const int64_t at = axis_ - static_cast<int64_t>(out_.size()) + b_.rank(id);
      if (!l_.bound_of(id) && at >= 0 && b_.shape(id)[static_cast<size_t>(at)] != Dim(1)) return false;
      if (!l_.bound_of(id) && node_.op == Op::concat) return false;
    }
    return true;
  }

  const Legalizer& l_;
  const Builder& b_;
  const Node& node_;
  const Shape& out_;
  int64_t axis_ = -1;
};

/// Whether zeros stay zeros.
bool only_moves(const Node& node) {
  switch (node.op) {
    case Op::permute:
    case Op::reshape:
    case Op::slice:
    case Op::expand:
    case Op::concat:
      return true;
    case Op::map:
      return std::all_of(node.expr.insts.begin(), node.expr.insts.end(), [](const PointInst& inst) {
        return inst.op == PointOp::input || inst.op == PointOp::to_i64 || inst.op == PointOp::to_i32;
      });
    default:
      return false;
  }
}

}  // namespace

void Legalizer::bound(ValueId value, int64_t axis, ValueId count, bool zeros) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value, before);
  if (at == bounds_.end() || at->value != value) bounds_.insert(at, {value, axis, count, zeros});
}

const Legalizer::Bound* Legalizer::bound_of(ValueId value) const {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value, before);
  return at == bounds_.end() || at->value != value ? nullptr : &*at;
}

Status Legalizer::follow_bounds(const Node& node, size_t first) {
  ValueId read = kNoValue;
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (in(node, i) != kNoValue && bound_of(in(node, i))) read = in(node, i);
  if (read == kNoValue) return ok();
  const auto refuse = [&] {
    return unsupported(node, "a run decides how many parts of its operand [" + to_string(b.shape(read)) +
                                 "] there are along axis " + std::to_string(bound_of(read)->axis) +
                                 ": only what computes each of them alone may follow");
  };
  for (size_t i = first; i < b.graph.nodes.size(); ++i) {
    const Node& made = b.graph.nodes[i];
    if (*std::max_element(made.outputs.begin(), made.outputs.end()) == kNoValue) continue;
    Follower follower(*this, made);
    const int64_t axis = follower.axis();
    if (!follower.bound) continue;
    if (axis < 0) return refuse();
    const Bound of = *follower.bound;  // the list grows
    for (ValueId id : made.outputs)
      if (id != kNoValue) bound(id, axis, of.count, of.zeros && only_moves(made));
  }
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (wants(node, i) && find(node.outputs[i]) != kNoValue && !bound_of(find(node.outputs[i]))) return refuse();
  return ok();
}

Status Legalizer::state_bounds() {
  Graph& out = b.graph;
  const size_t results = out.outputs.size();
  for (size_t i = 0; i < results; ++i) {
    const Bound* bound = bound_of(find(source.outputs[i]));
    if (!bound) continue;
    size_t at = results;
    while (at < out.outputs.size() && out.outputs[at] != bound->count) ++at;
    if (at == out.outputs.size()) out.outputs.push_back(bound->count);
    out.bounded.push_back({i, bound->axis, at});
  }
  out.counts = out.outputs.size() - results;
  return ok();
}

}  // namespace kiln
