#include "ir/lower/view.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "support/checked.h"

namespace kiln {

Halo larger(const Halo& a, const Halo& b) {
  return {std::max(a.top, b.top), std::max(a.left, b.left), std::max(a.bottom, b.bottom), std::max(a.right, b.right)};
}

Sizes sizes_of(const Shape& shape) {
  Sizes sizes;
  for (const Dim& d : shape) sizes.push_back(d.value);
  return sizes;
}

int64_t product(const Sizes& sizes) { return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, times); }

Order row_major(int rank) {
  Order order(static_cast<size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

Order channels_last() { return {0, 2, 3, 1}; }

Order with_last(Order order, int dim) {
  order.erase(std::find(order.begin(), order.end(), dim));
  order.push_back(dim);
  return order;
}

Sizes compact_strides(const Sizes& dims, const Order& order) {
  Sizes strides(dims.size());
  int64_t stride = 1;
  for (size_t i = order.size(); i-- > 0;) {
    const auto d = static_cast<size_t>(order[i]);
    strides[d] = stride;
    stride = times(stride, dims[d]);
  }
  return strides;
}

Order order_of(const View& view) {
  const auto key = [&](int d) {
    const auto i = static_cast<size_t>(d);
    return view.dims[i] == 1 || view.strides[i] == 0 ? INT64_MAX : std::abs(view.strides[i]);
  };
  Order order = row_major(view.rank());
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return key(a) > key(b); });
  return order;
}

bool same_order(const Sizes& dims, const Order& a, const Order& b) {
  const auto moving = [&](Order o) {
    o.erase(std::remove_if(o.begin(), o.end(), [&](int d) { return dims[static_cast<size_t>(d)] == 1; }), o.end());
    return o;
  };
  return moving(a) == moving(b);
}

bool is_compact(const View& view, const Order& order) {
  const Sizes strides = compact_strides(view.dims, order);
  for (size_t i = 0; i < view.dims.size(); ++i)
    if (view.dims[i] != 1 && view.strides[i] != strides[i]) return false;
  return true;
}

bool same_place(const View& a, const View& b) {
  bool same = a.buffer == b.buffer && a.offset == b.offset;
  for (size_t i = 0; i < a.dims.size(); ++i) same = same && (a.dims[i] == 1 || a.strides[i] == b.strides[i]);
  return same;
}

DType moved_as(DType dtype) { return is_pair(lane_of(dtype)) ? DType::i32 : is_half(dtype) ? DType::u16 : dtype; }

View moved(View view) {
  const bool pairs = size_of(view.dtype) == 8;
  view.dtype = moved_as(view.dtype);
  if (!pairs) return view;
  view.offset *= 2;
  for (int64_t& stride : view.strides) stride *= 2;
  view.dims.push_back(2);
  view.strides.push_back(1);
  return view;
}

View permuted(const View& view, const std::vector<int64_t>& axes) {
  View out = view;
  out.halo = {};
  for (size_t i = 0; i < axes.size(); ++i) {
    out.dims[i] = view.dims[static_cast<size_t>(axes[i])];
    out.strides[i] = view.strides[static_cast<size_t>(axes[i])];
  }
  return out;
}

View sliced(const View& view, const Sizes& start, const Sizes& step, const Sizes& dims) {
  View out = view;
  for (size_t i = 0; i < dims.size(); ++i) {
    out.offset = plus(out.offset, times(start[i], view.strides[i]));
    out.strides[i] = times(step[i], view.strides[i]);
    if (i >= 2 && (dims[i] != view.dims[i] || step[i] != 1)) out.halo = {};
  }
  out.dims = dims;
  return out;
}

View expanded(const View& view, const Sizes& dims) {
  View out = view;
  if (dims != view.dims) out.halo = {};
  out.dims = dims;
  out.strides.assign(dims.size(), 0);
  const size_t lead = dims.size() - view.dims.size();
  for (size_t i = 0; i < view.dims.size(); ++i)
    if (view.dims[i] == dims[lead + i]) out.strides[lead + i] = view.strides[i];
  return out;
}

std::optional<View> reshaped(const View& view, const Sizes& dims) {
  if (dims == view.dims) return view;
  View out = view;
  out.halo = {};
  out.dims = dims;
  out.strides = compact_strides(dims, row_major(static_cast<int>(dims.size())));
  if (product(dims) == 0) return out;
  Sizes from, from_strides;  // without dims of size 1, which say nothing
  for (size_t i = 0; i < view.dims.size(); ++i)
    if (view.dims[i] != 1) from.push_back(view.dims[i]), from_strides.push_back(view.strides[i]);
  // Walks both shapes from the innermost dims. A group is the shortest run of dims with equal products.
  size_t i = from.size(), j = dims.size();
  while (i > 0 || j > 0) {
    if (i == 0) {  // only ones are left
      out.strides[--j] = 0;
      continue;
    }
    int64_t old_count = from[--i], new_count = 1, stride = from_strides[i];
    size_t group_end = j;
    while (new_count != old_count) {
      if (new_count < old_count) {
        new_count *= dims[--j];
      } else {
        if (from_strides[i - 1] != from[i] * from_strides[i]) return std::nullopt;
        old_count *= from[--i];
      }
    }
    for (size_t d = group_end; d-- > j;) {
      out.strides[d] = stride;
      stride *= dims[d];
    }
  }
  return out;
}

void Box::add_loop(int64_t size, const Sizes& operand_strides) {
  dims.push_back(size);
  strides.resize(operand_strides.size());
  for (size_t k = 0; k < operand_strides.size(); ++k) strides[k].push_back(operand_strides[k]);
}

void Box::sort() {
  if (strides.empty()) return;
  Order order = row_major(static_cast<int>(dims.size()));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return strides[0][static_cast<size_t>(a)] > strides[0][static_cast<size_t>(b)];
  });
  const auto reorder = [&](Sizes& sizes) {
    const Sizes old = sizes;
    for (size_t i = 0; i < order.size(); ++i) sizes[i] = old[static_cast<size_t>(order[i])];
  };
  reorder(dims);
  for (Sizes& s : strides) reorder(s);
}

void Box::merge() {
  const auto erase = [&](size_t i) {
    const auto at = static_cast<std::ptrdiff_t>(i);
    dims.erase(dims.begin() + at);
    for (Sizes& s : strides) s.erase(s.begin() + at);
  };
  for (size_t i = dims.size(); i-- > 0;)
    if (dims[i] == 1) erase(i);
  for (size_t i = dims.size(); i-- > 1;) {
    bool one_walk = true;
    for (const Sizes& s : strides) one_walk = one_walk && s[i - 1] == times(dims[i], s[i]);
    if (!one_walk) continue;
    dims[i] = times(dims[i], dims[i - 1]);
    erase(i - 1);
  }
}

Box beside(size_t axis, const std::vector<View>& operands) {
  Box box;
  for (size_t d = 0; d < operands[0].dims.size(); ++d) {
    if (d == axis) continue;
    Sizes strides;
    for (const View& v : operands) strides.push_back(v.strides[d]);
    box.add_loop(operands[0].dims[d], strides);
  }
  if (box.dims.empty()) box.add_loop(1, Sizes(operands.size(), 0));
  box.sort();
  box.merge();
  return box;
}

}  // namespace kiln
