// A node of a drawn model that moves elements, or makes them from nothing.
#include <algorithm>
#include <limits>

#include "ir/builder.h"
#include "tests/support/drawn_model.h"

namespace kiln::testing {
namespace {

using Ints = Draft::Ints;
using Type = Draft::Type;
using Attrs = std::vector<SourceAttr>;

std::string aten(const std::string& name) { return "aten." + name; }

void join(Draft& d) {
  const ValueId x = d.any(), other = d.c.one_in(2) ? d.any() : x;
  std::vector<ValueId> parts{x, other};
  if (d.c.one_in(3)) parts.push_back(d.c.one_in(2) ? d.any() : x);
  const Attrs attrs{{"dim", d.axis(x)}};
  const char* name = d.c.one_in(4) ? "aten.stack.default" : "aten.cat.default";
  if (!d.add(name, parts, attrs, d.dtype(x))) d.add(name, {x, x}, attrs, d.dtype(x));
}

void part(Draft& d) {
  const ValueId x = d.any();
  if (d.rank(x) == 0) return;
  const int64_t axis = d.axis(x);
  const int64_t size = d.dim(x, axis < 0 && axis >= -d.rank(x)  ? axis + d.rank(x)
                                : axis >= d.rank(x) || axis < 0 ? 0
                                                                : axis);
  const int64_t last = std::max<int64_t>(size - 1, 0);
  const DType type = d.dtype(x);
  switch (d.c.pick(0, 5)) {
    case 0:
    case 1: {
      const int64_t start = d.number(0, std::min<int64_t>(last, 200));
      d.add("aten.slice.Tensor", {x},
            {{"dim", axis},
             {"start", start},
             {"end", d.extreme(d.c.one_in(2) ? INT64_MAX : size)},
             {"step", d.number(1, 3)}},
            type);
      return;
    }
    case 2:
      d.add("aten.select.int", {x}, {{"dim", axis}, {"index", d.number(0, std::min<int64_t>(last, 200))}}, type);
      return;
    case 3: {
      const int64_t parts = std::clamp<int64_t>(size, 1, 4);
      const int64_t each = std::max<int64_t>((size + parts - 1) / parts, 1);
      const auto count = static_cast<size_t>(std::max<int64_t>((size + each - 1) / each, 1));
      d.add("aten.split.Tensor", {x}, {{"split_size", d.extreme(each)}, {"dim", axis}},
            std::vector<Type>(count, Type{type}));
      return;
    }
    case 4:
      if (size >= 1 && size <= 4)
        d.add("aten.unbind.int", {x}, {{"dim", axis}}, std::vector<Type>(static_cast<size_t>(size), Type{type}));
      return;
    default:
      d.add("aten.narrow.default", {x},
            {{"dim", axis}, {"start", d.extreme(0)}, {"length", d.number(0, std::min<int64_t>(size, 200))}}, type);
  }
}

void turn(Draft& d) {
  const ValueId x = d.any();
  const DType type = d.dtype(x);
  switch (d.c.pick(0, 4)) {
    case 0:
    case 1:
      d.add("aten.flip.default", {x}, {{"dims", d.axes(x)}}, type);
      return;
    case 2: {
      const Ints dims = d.axes(x);
      d.add("aten.roll.default", {x}, {{"shifts", d.numbers(dims.size(), -3, 3)}, {"dims", dims}}, type);
      return;
    }
    default: {
      Ints order;
      for (int64_t i = 0; i < d.rank(x); ++i) order.insert(order.begin() + d.c.pick(0, i), i);
      d.add("aten.permute.default", {x}, {{"dims", order}}, type);
    }
  }
}

/// The same elements in another shape: neighbours merged or one taken apart.
void reshape(Draft& d) {
  const ValueId x = d.any();
  const DType type = d.dtype(x);
  Ints dims;
  for (const Dim& size : d.shape(x)) dims.push_back(size.value);
  switch (d.c.pick(0, 5)) {
    case 0:
      d.add("aten.flatten.using_ints", {x}, {{"start_dim", d.axis(x)}, {"end_dim", d.axis(x)}}, type);
      return;
    case 1:
      d.add("aten.unsqueeze.default", {x}, {{"dim", d.axis(x)}}, type);
      return;
    case 2:
      d.add("aten.squeeze.dims", {x}, {{"dim", d.axes(x)}}, type);
      return;
    case 3: {
      if (dims.empty()) return;
      const auto at = static_cast<size_t>(d.c.pick(0, static_cast<int64_t>(dims.size()) - 1));
      const int64_t by = d.c.pick(1, 4);
      if (dims[at] % by) return;
      dims[at] /= by;
      dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(at), by);
      break;
    }
    case 4:
      if (dims.size() >= 2) {
        if (__builtin_mul_overflow(dims[0], dims[1], &dims[1])) return;
        dims.erase(dims.begin());
      }
      break;
    default:
      if (!dims.empty()) dims[static_cast<size_t>(d.c.pick(0, static_cast<int64_t>(dims.size()) - 1))] = d.extreme(-1);
  }
  d.add("aten.view.default", {x}, {{"size", dims}}, type);
}

void spread(Draft& d) {
  const ValueId x = d.any();
  const DType type = d.dtype(x);
  Ints dims;
  for (const Dim& size : d.shape(x)) dims.push_back(size.value);
  if (d.c.one_in(3)) {
    Ints repeats;
    for (size_t i = 0; i < dims.size(); ++i) repeats.push_back(d.number(1, 2));
    d.add("aten.repeat.default", {x}, {{"repeats", repeats}}, type);
    return;
  }
  if (d.c.one_in(4) && dims.size() == 4) {
    const bool to = d.c.one_in(2);
    d.add(to ? "aten.pixel_shuffle.default" : "aten.pixel_unshuffle.default", {x},
          {{to ? "upscale_factor" : "downscale_factor", d.number(1, 3)}}, type);
    return;
  }
  for (int64_t& size : dims)
    if (size == 1 && d.c.one_in(2)) size = std::max<int64_t>(d.number(1, 4), 0);
  if (d.c.one_in(2)) dims.insert(dims.begin(), std::max<int64_t>(d.number(1, 3), 0));
  d.add("aten.expand.default", {x}, {{"size", dims}}, type);
}

void pad(Draft& d) {
  const ValueId x = d.any();
  SourceAttr value{"value", d.number(-2, 2)};
  if (d.dtype(x) == DType::f32) value.value = d.real(0.5);
  const auto count = static_cast<size_t>(d.c.pick(1, std::max<int64_t>(d.rank(x), 1)));
  d.add("aten.constant_pad_nd.default", {x}, {{"pad", d.numbers(2 * count, -1, 2)}, value}, d.dtype(x));
}

/// Indices are constants, or a value of integers if it is small enough for what is indexed; where all is extreme,
/// anything.
void gather(Draft& d) {
  const ValueId x = d.any();
  if (d.rank(x) == 0) return;
  const int64_t axis = d.c.pick(0, d.rank(x) - 1), rows = d.dim(x, axis), count = d.c.pick(1, 5);
  if (rows < 1) return;
  std::vector<double> numbers;
  const int64_t form = d.c.pick(0, 3);
  const int64_t low = form == 0 ? 0 : -std::min<int64_t>(rows, 8);
  for (int64_t i = 0; i < count; ++i)
    numbers.push_back(static_cast<double>(d.extreme(d.c.pick(low, std::min<int64_t>(rows - 1, 100)))));
  const DType type = d.c.one_in(3) ? DType::i32 : DType::i64;
  const DType own = d.dtype(x);
  if (form == 0) {  // counts from the end, as lists do, are no indices here
    const ValueId index = d.constant(numbers, {count}, type);
    if (axis == 0 && d.c.one_in(2) && d.rank(x) == 2)
      d.add("aten.embedding.default", {x, index}, {}, own);
    else
      d.add("aten.index_select.default", {x, index}, {{"dim", axis}},
            {Type{own,
                  [&] {
                    Ints dims;
                    for (const Dim& size : d.shape(x)) dims.push_back(size.value);
                    dims[static_cast<size_t>(axis)] = count;
                    return dims;
                  }(),
                  true}});
    return;
  }
  if (form == 1) {
    std::vector<ValueId> operands{x};
    for (int64_t i = 0; i < axis; ++i) operands.push_back(kNoValue);
    operands.push_back(d.constant(numbers, {count}, type));
    if (axis + 1 < d.rank(x) && d.c.one_in(2)) {
      for (double& n : numbers)
        n = static_cast<double>(d.extreme(d.dim(x, axis + 1) ? whole_part(n) % d.dim(x, axis + 1) : 0));
      operands.push_back(d.constant(numbers, {count}, type));
    }
    d.add("aten.index.Tensor", operands, {}, own);
    return;
  }
  Ints dims(static_cast<size_t>(d.rank(x)), 1);
  dims[static_cast<size_t>(axis)] = count;
  for (double& n : numbers) n = std::max(n, 0.0);
  d.add("aten.gather.default", {x, d.constant(numbers, dims, DType::i64)}, {{"dim", axis}}, {Type{own, dims, true}});
}

void scatter(Draft& d) {
  const ValueId x = d.any();
  if (d.rank(x) == 0) return;
  const int64_t axis = d.c.pick(0, d.rank(x) - 1), size = d.dim(x, axis);
  if (size < 1) return;
  const int64_t start = d.number(0, std::min<int64_t>(size - 1, 50)), step = d.number(1, 2);
  if (!d.add("aten.slice.Tensor", {x}, {{"dim", axis}, {"start", start}, {"step", step}}, d.dtype(x))) return;
  const ValueId cut = d.g.nodes.back().outputs[0];
  if (!d.add("aten.neg.default", {cut}, {}, d.dtype(x))) return;
  d.add("aten.slice_scatter.default", {x, d.g.nodes.back().outputs[0]},
        {{"dim", axis}, {"start", start}, {"step", step}}, d.dtype(x));
}

void create(Draft& d) {
  const ValueId x = d.any();
  Ints dims;
  for (const Dim& size : d.shape(x)) dims.push_back(size.value);
  switch (d.c.pick(0, 3)) {
    case 0: {
      const int64_t value = d.number(-2, 3);
      const DType dtype = d.c.of(kComputed);
      d.add("aten.full.default", {}, {{"size", dims}, {"fill_value", value}, {"dtype", std::string(name_of(dtype))}},
            {Type{dtype, dims, true}});
      return;
    }
    case 1:
      d.add("aten.arange.start_step", {},
            {{"start", d.number(-3, 3)}, {"end", d.number(4, 9)}, {"step", d.number(1, 2)}}, DType::i64);
      return;
    default:
      d.add(d.c.one_in(2) ? "aten.tril.default" : "aten.triu.default", {x}, {{"diagonal", d.number(-2, 2)}},
            d.dtype(x));
  }
}

void resize(Draft& d) {
  const ValueId x = d.any_of(DType::f32, 3);
  if (x == kNoValue || d.rank(x) > 5) return;
  const std::string dims = std::to_string(d.rank(x) - 2) + "d";
  const char* const kNames[] = {"upsample_nearest", "upsample_linear", "_upsample_nearest_exact", "upsample_bicubic"};
  const int64_t form = d.c.pick(0, 3);
  const std::string linear = d.rank(x) == 4   ? "upsample_bilinear"
                             : d.rank(x) == 5 ? "upsample_trilinear"
                                              : "upsample_linear";
  Ints to{d.dim(x, 0), d.dim(x, 1)};
  for (int64_t i = 2; i < d.rank(x); ++i) to.push_back(std::max<int64_t>(d.number(1, 9), 1));
  d.add(aten((form == 1 ? linear : kNames[form]) + dims + ".vec"), {x},
        {{"output_size", Ints(to.begin() + 2, to.end())}, {"align_corners", d.c.one_in(2)}},
        {Type{DType::f32, to, true}});
}

using Drawn = void (*)(Draft&);
const Drawn kDrawn[] = {join,    part,   turn,   reshape, spread, pad,  gather,
                        scatter, create, resize, join,    part,   turn, spread};

}  // namespace

void draw_moving_node(Draft& draft) { draft.c.of(kDrawn)(draft); }

}  // namespace kiln::testing
