#include "tests/support/random_graph.h"

#include <algorithm>
#include <random>

#include "ir/builder.h"

namespace kiln::testing {
namespace {

/// Grows graphs at random; a node that does not fit its operands is simply not built.
class Grower {
 public:
  explicit Grower(uint32_t seed) : random_(seed) {}

  Graph grow(int nodes) {
    add_input({pick(1, 2), pick(1, 7), pick(1, 9), pick(1, 9)});
    for (int i = 0; i < nodes * 3 && static_cast<int>(graph_.nodes.size()) < nodes; ++i) step();
    for (size_t i = 0; i < 2; ++i) graph_.outputs.push_back(any());
    graph_.outputs.push_back(values_.back());
    return std::move(graph_);
  }

 private:
  int64_t pick(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint32_t>(high - low + 1));
  }
  ValueId any() {
    return values_[values_.size() - 1 -
                   static_cast<size_t>(pick(0, std::min<int64_t>(5, static_cast<int64_t>(values_.size()) - 1)))];
  }
  void add_input(const std::vector<int64_t>& dims) {
    const ValueId id =
        graph_.add_value("x" + std::to_string(graph_.inputs.size()), DType::f32, Shape(dims.begin(), dims.end()));
    graph_.inputs.push_back(id);
    values_.push_back(id);
  }
  /// Some weights have several readers, some are computed with before they are read.
  ValueId weight(const std::vector<int64_t>& dims) {
    const Shape shape(dims.begin(), dims.end());
    const auto again = std::find_if(weights_.rbegin(), weights_.rend(),
                                    [&](ValueId w) { return to_string(graph_.value(w).shape) == to_string(shape); });
    if (again != weights_.rend() && pick(0, 1)) return *again;
    weights_.push_back(new_weight(dims));
    if (pick(0, 3) == 0) values_.push_back(weights_.back());
    return weights_.back();
  }
  ValueId new_weight(const std::vector<int64_t>& dims) {
    const ValueId id = graph_.add_value("w", DType::f32, Shape(dims.begin(), dims.end()));
    Segment s;
    s.offset = graph_.weights_bytes;
    s.size = element_count(graph_.value(id).shape) * 4;
    graph_.weights_bytes += round_up(s.size, 64);
    graph_.value(id).segment = static_cast<int>(graph_.segments.size());
    graph_.segments.push_back(s);
    return id;
  }
  void keep(const Result<ValueId>& id) {
    if (!id.ok()) return;
    const int64_t count = element_count(graph_.value(*id).shape);
    if (count > 0 && count < 20000) values_.push_back(*id);
  }
  int64_t dim(ValueId id, size_t i) { return graph_.value(id).shape[i].value; }

  void resize(ValueId x, int64_t axis) {
    TapsAttrs a;
    a.axis = axis, a.taps = pick(1, 3);
    for (int64_t i = a.taps * pick(1, 9); i-- > 0;) {
      a.index.push_back(static_cast<int32_t>(pick(0, dim(x, static_cast<size_t>(axis)) - 1)));
      if (a.taps > 1) a.weights.push_back(static_cast<float>(pick(-4, 4)) / 8);
    }
    keep(build_.taps(x, std::move(a)));
  }

  void step() {
    const ValueId x = any();
    const auto rank = static_cast<int64_t>(graph_.value(x).shape.size());
    const int64_t axis = rank > 0 ? pick(0, rank - 1) : 0;
    switch (pick(0, 16)) {
      case 0:
      case 1:
        return conv(x);
      case 2: {
        PoolAttrs a;
        a.kind = pick(0, 1) ? WindowKind::max : WindowKind::average;
        for (size_t i = 0; i < 2; ++i)
          a.kernel[i] = pick(1, 3), a.stride[i] = pick(1, 2), a.pad_begin[i] = a.pad_end[i] = a.kernel[i] / 2;
        if (rank == 4 && pick(0, 2) == 0)
          for (size_t i = 0; i < 2; ++i)
            a.even[i] = pick(1, 5), a.pad_begin[i] = a.pad_end[i] = 0, a.kernel[i] = dim(x, 2 + i);
        return keep(build_.pool(x, a));
      }
      case 3:
      case 4: {
        Fx f;
        const Expr e =
            pick(0, 1) ? f.finish(f.in(0) * 0.5 + f.in(1)) : f.finish(f.bin(PointOp::max, f.in(0), f.in(1)) - 0.25);
        const ValueId other = pick(0, 2) || rank == 0 ? any() : weight({dim(x, static_cast<size_t>(rank) - 1)});
        return keep(build_.map(e, {x, other}, DType::f32));
      }
      case 5:
      case 6:
        return keep(
            build_.concat(pick(0, 1) ? std::vector<ValueId>{x, any()} : std::vector<ValueId>{any(), x, any()}, axis));
      case 7: {
        if (rank == 0) return;
        const int64_t size = dim(x, static_cast<size_t>(axis)), start = pick(0, size - 1), step = pick(1, 2);
        return keep(build_.slice_axis(x, axis, start, ceil_div(size - start, step), step));
      }
      case 8: {
        std::vector<int64_t> axes;
        for (int64_t i = 0; i < rank; ++i) axes.push_back(i);
        std::shuffle(axes.begin(), axes.end(), random_);
        return keep(build_.permute(x, axes));
      }
      case 9: {
        if (rank == 0) return;
        PadAttrs a;
        for (int64_t i = 0; i < rank; ++i) a.before.push_back(pick(0, 1)), a.after.push_back(pick(0, 1));
        a.value = 0.5f;
        return keep(build_.pad(x, a));
      }
      case 10: {
        ReduceAttrs a;
        a.kind = pick(0, 1) ? ReduceKind::mean : ReduceKind::max;
        a.axes = {axis};
        a.keepdim = pick(0, 2) > 0;
        return rank > 0 ? keep(build_.reduce(x, a)) : void();
      }
      case 11: {
        if (rank == 0) return;
        if (pick(0, 1)) return keep(build_.softmax(x, axis));
        NormAttrs a;
        a.kind = NormKind::layer_norm, a.eps = 1e-3, a.axis = axis;
        std::vector<int64_t> tail;
        for (int64_t i = axis; i < rank; ++i) tail.push_back(dim(x, static_cast<size_t>(i)));
        return keep(build_.layer_norm(x, weight(tail), pick(0, 1) ? weight(tail) : kNoValue, a));
      }
      case 12:
        return matmul(x, rank);
      case 13:
        return rank > 0 ? repeat(x, static_cast<size_t>(axis)) : void();
      case 14:
        return rank > 0 ? along(x, axis) : void();
      case 15:
        return rank > 0 ? resize(x, axis) : void();
      default: {  // all dims from `axis` on in one
        Shape shape(graph_.value(x).shape.begin(), graph_.value(x).shape.begin() + axis);
        shape.emplace_back(element_count(Shape(graph_.value(x).shape.begin() + axis, graph_.value(x).shape.end())));
        if (pick(0, 1)) shape.emplace_back(1), shape.emplace_back(1);
        return keep(build_.reshape(x, shape));
      }
    }
  }
  /// Every element along an axis twice, as nearest upsampling does, or the whole axis twice.
  void repeat(ValueId x, size_t axis) {
    Shape shape = graph_.value(x).shape;
    const auto at = shape.begin() + static_cast<std::ptrdiff_t>(axis + static_cast<size_t>(pick(0, 1)));
    const auto added = static_cast<size_t>(at - shape.begin());
    shape.insert(at, Dim(1));
    const auto lifted = build_.reshape(x, shape);
    if (!lifted.ok()) return;
    shape[added] = Dim(2);
    const auto wide = build_.expand(*lifted, shape);
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(added));
    shape[axis] = Dim(shape[axis].value * 2);
    keep(build_.reshape(*wide, shape));
  }
  /// Running or in order, or with updates. What was rounded may have another place among its like.
  void along(ValueId x, int64_t axis) {
    const bool exact = std::count(graph_.inputs.begin(), graph_.inputs.end(), x) > 0;
    const auto keep_all = [&](const Result<std::vector<ValueId>>& results) {
      if (!results.ok()) return;
      keep((*results)[0]);
      if (exact && results->size() > 1 && pick(0, 1)) keep(build_.cast((*results)[1], DType::f32));
    };
    const int64_t size = dim(x, static_cast<size_t>(axis));
    switch (pick(0, 4)) {
      case 0:
        return keep_all(build_.scan(x, {axis, pick(0, 1) ? ScanKind::max : ScanKind::min}));
      case 1: {
        const int64_t first = pick(0, size - 1);
        return keep_all(build_.sort(x, {axis, first, pick(1, size - first), pick(0, 1) > 0}));
      }
      case 2: {
        std::vector<int64_t> places;
        for (int64_t i = pick(1, 4); i-- > 0;) places.push_back(pick(-size, size - 1));
        const ValueId index = build_.integers(places, {Dim(static_cast<int64_t>(places.size()))});
        const auto rows = build_.gather(x, index, axis);
        return rows.ok() ? keep(build_.scatter(x, index, *rows,
                                               {axis, 0, pick(0, 1) ? ScatterKind::sum : ScatterKind::replace}))
                         : void();
      }
      default:
        return keep_all(build_.scan(x, {axis, ScanKind::sum}));
    }
  }
  void conv(ValueId x) {
    if (graph_.value(x).shape.size() != 4) return;
    const int64_t c = dim(x, 1), form = pick(0, 3);
    ConvAttrs a;
    a.groups = form == 0 ? c : form == 1 && c % 2 == 0 ? 2 : 1;
    const int64_t o = form == 0 ? c : a.groups * pick(1, 9), kh = pick(1, 3), kw = pick(1, 3);
    a.stride = {pick(1, 2), pick(1, 2)};
    a.dilation = {pick(1, 2), 1};
    a.pad_begin = {pick(0, 2), pick(0, 1)};
    a.pad_end = {pick(0, 2), pick(0, 2)};
    if (pick(0, 2) == 0) {
      a.transposed = true;
      a.stride = {pick(1, 3), pick(1, 3)};
      a.dilation = {pick(1, 2), pick(1, 3)};
      a.pad_end = {pick(-1, 2), pick(-1, 2)};
    }
    const ValueId w = weight({o, c / a.groups, kh, kw});
    keep(build_.conv(x, w, pick(0, 1) ? weight({o}) : kNoValue, a));
  }
  void matmul(ValueId x, int64_t rank) {
    if (rank < 2) return;
    const int64_t k = dim(x, static_cast<size_t>(rank) - 1), n = pick(1, 20);
    const bool transposed = pick(0, 1);
    if (pick(0, 2) == 0) {
      for (const ValueId w : weights_) {  // read as it lies by one, across by another
        const Shape& shape = graph_.value(w).shape;
        if (shape.size() != 2 || pick(0, 1)) continue;
        if (shape[0].value == k) return keep(build_.matmul(x, w));
        if (shape[1].value == k) return keep(build_.matmul(x, w, true));
      }
    }
    if (pick(0, 2)) return keep(build_.matmul(x, transposed ? weight({n, k}) : weight({k, n}), transposed));
    if (rank > 3) {  // attention of a value to itself, its dims in any layout
      AttentionAttrs a;
      a.scale = 0.3, a.causal = pick(0, 1);
      return keep(build_.attention(x, x, x, kNoValue, a));
    }
    keep(build_.matmul(x, x, true));
  }

  Graph graph_;
  Builder build_{graph_};
  std::vector<ValueId> values_, weights_;
  std::mt19937 random_;
};

}  // namespace

Graph random_graph(uint32_t seed, int nodes) { return Grower(seed).grow(nodes); }

}  // namespace kiln::testing
