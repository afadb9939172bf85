#include "ir/infer.h"

#include <algorithm>

#include "support/checked.h"

namespace kiln {

Error misfit(std::string message) { return Error{ErrorCode::bad_file, std::move(message), ""}; }

namespace {

/// Larger attributes are refused. Below this, sums and products of a few of them fit in 64 bits.
constexpr int64_t kMaxAttr = int64_t{1} << 30;

class Inference {
 public:
  Inference(const Graph& graph, const Node& node, const TensorType& wanted)
      : graph_(graph), node_(node), wanted_(wanted) {}

  Result<TensorTypes> run() {
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      const ValueId id = node_.inputs[i];
      if (id < kNoValue || id >= static_cast<ValueId>(graph_.values.size())) return fail("operand out of range");
    }
    if (node_.op == Op::sort) return sort();
    if (node_.op == Op::loop || node_.op == Op::end_loop) return loop();
    KILN_ASSIGN(TensorType type, of_one_result());
    TensorTypes types{std::move(type)};
    const auto* scan = std::get_if<ScanAttrs>(&node_.attrs);
    if (scan && is_extreme(scan->kind)) types.push_back({DType::i64, types[0].shape});
    return types;
  }

 private:
  Result<TensorType> of_one_result() const {
    switch (node_.op) {
      case Op::source:
      case Op::sort:
      case Op::loop:
      case Op::end_loop:
        return fail("not a canonical operation of one result");
      case Op::conv:
        return conv();
      case Op::matmul:
        return matmul();
      case Op::map:
        return map();
      case Op::reduce:
        return reduce();
      case Op::softmax:
        return softmax();
      case Op::layer_norm:
        return layer_norm();
      case Op::attention:
        return attention();
      case Op::pool:
        return pool();
      case Op::gather:
        return gather();
      case Op::scatter:
        return scatter();
      case Op::scan:
        return scan();
      case Op::taps:
        return taps();
      case Op::reshape:
        return reshape();
      case Op::permute:
        return permute();
      case Op::expand:
        return expand();
      case Op::slice:
        return slice();
      case Op::concat:
        return concat();
      case Op::pad:
        return pad();
      case Op::branch:
        return branch();
      case Op::join:
        return join();
    }
    return fail("unknown operation");
  }

  Error fail(const std::string& message) const { return misfit(std::string(name_of(node_.op)) + ": " + message); }

  /// A form that PyTorch allows and no kernel computes.
  Error refuse(const std::string& message) const {
    return {ErrorCode::unsupported_operator, std::string(name_of(node_.op)) + ": " + message, ""};
  }

  const Value* operand(size_t i) const {
    return i < limit() && node_.inputs[i] != kNoValue ? &graph_.value(node_.inputs[i]) : nullptr;
  }
  /// The number of operands in front of those of the epilogue.
  size_t limit() const {
    const size_t n = node_.inputs.size();
    return node_.epilogue.empty() ? n : std::min(n, static_cast<size_t>(std::max(0, node_.epilogue_begin)));
  }

  Result<const Value*> need(size_t i, const char* what) const {
    const Value* v = operand(i);
    if (!v) return fail(std::string("the ") + what + " is missing");
    return v;
  }

  Result<const Value*> need_float(size_t i, const char* what) const {
    KILN_ASSIGN(const Value* v, need(i, what));
    if (v->dtype != DType::f32)
      return refuse(std::string("the ") + what + " is " + name_of(v->dtype) + ", only float32 is supported");
    return v;
  }

  template <class T>
  Result<const T*> attrs() const {
    const T* a = std::get_if<T>(&node_.attrs);
    if (!a) return fail("attributes of another operation");
    return a;
  }

  Result<int64_t> constant(const Dim& d, const char* what) const {
    if (d.is_constant()) return d.value;
    return fail(std::string("the ") + what + " must be a constant, but it is the symbol '" + symbol_name(d) + "'");
  }

  std::string symbol_name(const Dim& d) const {
    const auto i = static_cast<size_t>(d.symbol);
    return i < graph_.symbols.size() ? graph_.symbols[i].name : "?";
  }

  Result<TensorType> done(DType dtype, Shape shape) const {
    if (shape.size() > kMaxRank)
      return refuse("the result has " + std::to_string(shape.size()) + " dims, at most " + std::to_string(kMaxRank) +
                    " are supported");
    int64_t count = 1;
    for (const Dim& d : shape) {
      if (d.value < 0) return fail("the result has a negative size: " + to_string(shape));
      // A dim of 0 must not hide an overflow of the other dims.
      if (__builtin_mul_overflow(count, std::max<int64_t>(d.value, 1), &count) || count > kMaxElements)
        return refuse("the result is too large: " + to_string(shape));
    }
    return TensorType{dtype, std::move(shape)};
  }

  /// With its padding an image is no larger than what is built: then no stride and no dilation that fits it is either.
  Status padded(const Shape& x, const std::array<int64_t, 2>& begin, const std::array<int64_t, 2>& end) const {
    int64_t count = 1;
    for (size_t i = 0; i < 4; ++i)
      count = times(count, std::max<int64_t>(x[i].value, 1) + (i < 2 ? 0 : begin[i - 2] + end[i - 2]));
    if (count > kMaxElements) return refuse("the padded input is too large: " + to_string(x) + " and its padding");
    return ok();
  }

  /// Output size along one spatial dim.
  Result<Dim> window(const Dim& in, int64_t kernel, int64_t stride, int64_t before, int64_t after,
                     int64_t dilation) const {
    if (kernel < 1 || kernel > kMaxAttr || stride < 1 || stride > kMaxAttr || dilation < 1 || dilation > kMaxAttr)
      return fail("kernel, stride and dilation must be positive and below 2^30");
    if (before < 0 || after < 0 || before > kMaxAttr || after > kMaxAttr)
      return fail("padding must be between 0 and 2^30");
    if (kernel == 1 && stride == 1 && before == 0 && after == 0) return in;
    KILN_ASSIGN(const int64_t size, constant(in, "size of a convolved or pooled dim"));
    const int64_t room = size + before + after - ((kernel - 1) * dilation + 1);
    if (room < 0)
      return fail("the kernel (" + std::to_string(kernel) + ", dilation " + std::to_string(dilation) +
                  ") is larger than the padded input (" + std::to_string(size + before + after) + ")");
    return Dim(room / stride + 1);
  }

  /// Output size of a transposed convolution along one spatial dim.
  Result<Dim> spread(const Dim& in, int64_t kernel, int64_t stride, int64_t before, int64_t after,
                     int64_t dilation) const {
    constexpr int64_t kMax = 1 << 20;
    KILN_ASSIGN(const int64_t size, constant(in, "size of a convolved dim"));
    for (const int64_t value : {size, kernel, stride, dilation})
      if (value < 1 || value > kMax)
        return fail("the sizes, strides and dilations of a transposed convolution must be positive and at most 2^20");
    if (before < 0 || before > kMax || after < -kMax || after > kMax)
      return fail("the paddings of a transposed convolution must be at most 2^20");
    return Dim((size - 1) * stride + dilation * (kernel - 1) + 1 - before - after);
  }

  Result<TensorType> conv() const {
    KILN_ASSIGN(const ConvAttrs* a, attrs<ConvAttrs>());
    KILN_ASSIGN(const Value* x, need_float(0, "input"));
    KILN_ASSIGN(const Value* w, need_float(1, "weight"));
    if (x->shape.size() != 4 || w->shape.size() != 4)
      return fail("input and weight must have 4 dims, got " + to_string(x->shape) + " and " + to_string(w->shape));
    KILN_ASSIGN(const int64_t channels, constant(x->shape[1], "number of channels"));
    for (const Dim& d : w->shape) KILN_TRY(constant(d, "shape of the weight"));
    const int64_t o = w->shape[0].value;
    if (a->groups < 1 || channels % a->groups || o % a->groups || w->shape[1].value != channels / a->groups)
      return fail("weight " + to_string(w->shape) + " does not fit " + std::to_string(channels) + " channels in " +
                  std::to_string(a->groups) + " groups");
    if (operand(2)) {
      KILN_ASSIGN(const Value* bias, need_float(2, "bias"));
      if (bias->shape != Shape{o})
        return fail("the bias has shape " + to_string(bias->shape) + ", expected " + std::to_string(o));
    }
    Shape out{x->shape[0], w->shape[0]};
    for (size_t i = 0; i < 2; ++i) {
      const auto size = a->transposed ? &Inference::spread : &Inference::window;
      KILN_ASSIGN(const Dim d, (this->*size)(x->shape[2 + i], w->shape[2 + i].value, a->stride[i], a->pad_begin[i],
                                             a->pad_end[i], a->dilation[i]));
      out.push_back(d);
    }
    if (!a->transposed) KILN_TRY(padded(x->shape, a->pad_begin, a->pad_end));
    return done(DType::f32, std::move(out));
  }

  Result<TensorType> pool() const {
    KILN_ASSIGN(const PoolAttrs* a, attrs<PoolAttrs>());
    KILN_ASSIGN(const Value* x, need_float(0, "input"));
    if (x->shape.size() != 4) return fail("the input must have 4 dims, got " + to_string(x->shape));
    if (a->divisor < 0) return refuse("the divisor must not be negative");
    Shape out{x->shape[0], x->shape[1]};
    for (size_t i = 0; i < 2; ++i) {
      if (a->even[i]) {
        KILN_ASSIGN(const int64_t size, constant(x->shape[2 + i], "size of what windows cover"));
        // The kernel computes where windows begin from products of sizes and output indices, in 32 bits.
        if (size < 1 || a->even[i] < 1 || size > kMaxAttr / a->even[i] || a->kernel[i] < 1 || a->kernel[i] > size)
          return fail("windows that do not fit the input");
        out.push_back(Dim(a->even[i]));
        continue;
      }
      KILN_ASSIGN(const Dim d,
                  window(x->shape[2 + i], a->kernel[i], a->stride[i], a->pad_begin[i], a->pad_end[i], a->dilation[i]));
      if (std::max(a->pad_begin[i], a->pad_end[i]) >= (a->kernel[i] - 1) * a->dilation[i] + 1)
        return refuse("the padding leaves a window without an input");
      out.push_back(d);
    }
    KILN_TRY(padded(x->shape, a->pad_begin, a->pad_end));
    return done(DType::f32, std::move(out));
  }

  Result<TensorType> matmul() const {
    KILN_ASSIGN(const MatmulAttrs* attr, attrs<MatmulAttrs>());
    KILN_ASSIGN(const Value* a, need_float(0, "left operand"));
    KILN_ASSIGN(const Value* b, need_float(1, "right operand"));
    const Shape &sa = a->shape, &sb = b->shape;
    if (sa.size() < 2 || sb.size() < 2)
      return fail("operands must have at least 2 dims, got " + to_string(sa) + " and " + to_string(sb));
    const Dim kb = sb[sb.size() - (attr->transpose_b ? 1 : 2)], n = sb[sb.size() - (attr->transpose_b ? 2 : 1)];
    if (!(sa.back() == kb))
      return fail("inner sizes differ: " + to_string(sa) + " by " + to_string(sb) +
                  (attr->transpose_b ? " transposed" : ""));
    const Shape batch_a(sa.begin(), sa.end() - 2), batch_b(sb.begin(), sb.end() - 2);
    KILN_ASSIGN(Shape out, broadcast(graph_, {&batch_a, &batch_b}));
    out.push_back(sa[sa.size() - 2]);
    out.push_back(n);
    return done(DType::f32, std::move(out));
  }

  Result<TensorType> map() const {
    KILN_TRY(check_expr(node_.expr, 0, DType::f32, wanted_.dtype));
    std::vector<const Shape*> shapes;
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      KILN_ASSIGN(const Value* v, need(i, "operand"));
      shapes.push_back(&v->shape);
    }
    KILN_ASSIGN(Shape out, broadcast(graph_, shapes));
    return done(wanted_.dtype, std::move(out));
  }

 public:
  /// Instructions well formed; operands read in the lane of their dtype; result in the lane of `out`. For an epilogue
  /// (`first` > 0) operand 0 is the node's own result.
  Status check_expr(const Expr& e, int first, DType own, DType out) const {
    if (e.empty()) return fail("empty expression");
    for (size_t i = 0; i < e.insts.size(); ++i) {
      const PointInst& inst = e.insts[i];
      const int n = arity(inst.op);
      if ((n > 0 && inst.a >= i) || (n > 1 && inst.b >= i) || (n > 2 && inst.c >= i))
        return fail("an expression reads ahead");
      if (inst.op != PointOp::input) continue;
      const bool is_own = first > 0 && inst.a == 0;
      const size_t at = first > 0 ? static_cast<size_t>(first) + inst.a - 1 : inst.a;
      if (!is_own && (at >= node_.inputs.size() || node_.inputs[at] == kNoValue))
        return fail("an expression reads a missing operand");
      const DType dtype = is_own ? own : graph_.value(node_.inputs[at]).dtype;
      if (lane_of(dtype) != inst.lane)
        return fail(std::string("an expression reads a ") + name_of(dtype) + " operand as another kind");
    }
    if (e.lane() != lane_of(out)) return fail(std::string("an expression does not compute ") + name_of(out));
    return ok();
  }

 private:
  Result<std::vector<bool>> axis_set(const std::vector<int64_t>& axes, size_t rank) const {
    std::vector<bool> set(rank, false);
    for (int64_t axis : axes) {
      if (axis < 0 || axis >= static_cast<int64_t>(rank))
        return fail("axis " + std::to_string(axis) + " is out of range for " + std::to_string(rank) + " dims");
      if (set[static_cast<size_t>(axis)]) return fail("axis " + std::to_string(axis) + " appears twice");
      set[static_cast<size_t>(axis)] = true;
    }
    return set;
  }

  Result<TensorType> reduce() const {
    KILN_ASSIGN(const ReduceAttrs* a, attrs<ReduceAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    KILN_ASSIGN(const std::vector<bool> reduced, axis_set(a->axes, x->shape.size()));
    DType out = x->dtype;
    const bool number = !is_half(x->dtype) && x->dtype != DType::boolean;
    const bool ordered = number && (!is_pair(lane_of(x->dtype)) || x->dtype == DType::i64);
    switch (a->kind) {
      case ReduceKind::any:
      case ReduceKind::all:
        if (x->dtype != DType::boolean) return fail("any and all take booleans");
        break;
      case ReduceKind::mean:
        if (x->dtype != DType::f32) return fail("mean takes float32");
        break;
      case ReduceKind::sum:
      case ReduceKind::prod:
        if (lane_of(x->dtype) != Lane::f32) out = DType::i64;
        if (x->dtype == DType::boolean) break;
        if (!number) return fail(std::string("cannot reduce ") + name_of(x->dtype));
        break;
      case ReduceKind::argmax:
      case ReduceKind::argmin:
        out = DType::i64;
        [[fallthrough]];
      default:
        if (!ordered) return refuse(std::string("cannot reduce ") + name_of(x->dtype));
    }
    Shape shape;
    for (size_t i = 0; i < reduced.size(); ++i) {
      if (!reduced[i])
        shape.push_back(x->shape[i]);
      else if (a->keepdim)
        shape.push_back(1);
    }
    return done(out, std::move(shape));
  }

  Result<TensorType> softmax() const {
    KILN_ASSIGN(const NormAttrs* a, attrs<NormAttrs>());
    KILN_ASSIGN(const Value* x, need_float(0, "input"));
    if (a->kind != NormKind::softmax && a->kind != NormKind::log_softmax) return fail("not a softmax");
    KILN_TRY(axis_set({a->axis}, x->shape.size()));
    return done(DType::f32, x->shape);
  }

  Result<TensorType> layer_norm() const {
    KILN_ASSIGN(const NormAttrs* a, attrs<NormAttrs>());
    KILN_ASSIGN(const Value* x, need_float(0, "input"));
    if (a->kind != NormKind::layer_norm && a->kind != NormKind::rms_norm) return fail("not a layer norm");
    KILN_TRY(axis_set({a->axis}, x->shape.size()));
    const Shape normalised(x->shape.begin() + a->axis, x->shape.end());
    for (size_t i = 1; i < 3; ++i) {
      if (!operand(i)) continue;
      KILN_ASSIGN(const Value* v, need_float(i, i == 1 ? "scale" : "shift"));
      if (v->shape != normalised)
        return fail("scale and shift must have shape " + to_string(normalised) + ", got " + to_string(v->shape));
    }
    if (!(a->eps >= 0)) return refuse("eps must not be negative");
    return done(DType::f32, x->shape);
  }

  Result<TensorType> attention() const {
    KILN_TRY(attrs<AttentionAttrs>());
    KILN_ASSIGN(const Value* q, need_float(0, "query"));
    KILN_ASSIGN(const Value* k, need_float(1, "key"));
    KILN_ASSIGN(const Value* v, need_float(2, "value"));
    for (const Value* t : {q, k, v})
      if (t->shape.size() < 2) return fail("query, key and value must have at least 2 dims");
    const auto at = [](const Value* t, size_t from_end) { return t->shape[t->shape.size() - from_end]; };
    if (!(at(q, 1) == at(k, 1)))
      return fail("query and key differ in their last size: " + to_string(q->shape) + " and " + to_string(k->shape));
    if (!(at(k, 2) == at(v, 2)))
      return fail("key and value differ in length: " + to_string(k->shape) + " and " + to_string(v->shape));
    const auto batch = [](const Value* t) { return Shape(t->shape.begin(), t->shape.end() - 2); };
    const Shape bq = batch(q), bk = batch(k), bv = batch(v);
    KILN_ASSIGN(Shape out, broadcast(graph_, {&bq, &bk, &bv}));
    Shape scores = out;
    scores.insert(scores.end(), {at(q, 2), at(k, 2)});
    if (const Value* mask = operand(3)) {
      if (mask->dtype != DType::f32 && mask->dtype != DType::boolean)
        return fail(std::string("the mask is ") + name_of(mask->dtype) + ", expected float32 or bool");
      if (!broadcasts_to(mask->shape, scores))
        return fail("the mask " + to_string(mask->shape) + " does not broadcast to the scores " + to_string(scores));
    }
    KILN_TRY(done(DType::f32, std::move(scores)));
    out.insert(out.end(), {at(q, 2), at(v, 1)});
    return done(DType::f32, std::move(out));
  }

  Result<TensorType> gather() const {
    KILN_ASSIGN(const GatherAttrs* a, attrs<GatherAttrs>());
    return gathered(a->axis, a->batch);
  }

  Result<TensorType> gathered(int64_t axis, int64_t batch) const {
    KILN_ASSIGN(const Value* table, need(0, "table"));
    KILN_ASSIGN(const Value* index, need(1, "index"));
    if (index->dtype != DType::i32 && index->dtype != DType::i64)
      return refuse(std::string("the index is ") + name_of(index->dtype) + ", expected an integer of 32 or 64 bits");
    KILN_TRY(axis_set({axis}, table->shape.size()));
    const auto shared = static_cast<size_t>(batch);
    if (batch < 0 || batch > axis || shared > index->shape.size() ||
        !std::equal(table->shape.begin(), table->shape.begin() + batch, index->shape.begin()))
      return fail("table and index do not share their first dims");
    Shape out(table->shape.begin(), table->shape.begin() + axis);
    out.insert(out.end(), index->shape.begin() + batch, index->shape.end());
    out.insert(out.end(), table->shape.begin() + axis + 1, table->shape.end());
    return done(table->dtype, std::move(out));
  }

  Result<TensorType> scatter() const {
    KILN_ASSIGN(const ScatterAttrs* a, attrs<ScatterAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    KILN_ASSIGN(const Value* updates, need(2, "updates"));
    KILN_ASSIGN(const TensorType named, gathered(a->axis, a->batch));
    if (updates->dtype != x->dtype || updates->shape != named.shape)
      return fail("the updates are " + std::string(name_of(updates->dtype)) + "[" + to_string(updates->shape) +
                  "], expected " + name_of(x->dtype) + "[" + to_string(named.shape) + "]");
    const bool number = x->dtype == DType::f32 || x->dtype == DType::i32 || x->dtype == DType::i64;
    if (a->kind != ScatterKind::replace && !number) return fail(std::string("cannot reduce ") + name_of(x->dtype));
    return done(x->dtype, x->shape);
  }

  Result<TensorType> scan() const {
    KILN_ASSIGN(const ScanAttrs* a, attrs<ScanAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    const bool whole = x->dtype == DType::i32 || x->dtype == DType::i64;
    if (x->dtype != DType::f32 && (!whole || a->kind == ScanKind::log_sum_exp))
      return fail(std::string("cannot add up ") + name_of(x->dtype));
    KILN_TRY(axis_set({a->axis}, x->shape.size()));
    return done(x->dtype, x->shape);
  }

  Result<TensorTypes> sort() const {
    KILN_ASSIGN(const SortAttrs* a, attrs<SortAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    if (size_of(x->dtype) > 1 && x->dtype != kernel_type(x->dtype))
      return fail(std::string("cannot sort ") + name_of(x->dtype));
    KILN_TRY(axis_set({a->axis}, x->shape.size()));
    Shape out = x->shape;
    Dim& dim = out[static_cast<size_t>(a->axis)];
    KILN_ASSIGN(const int64_t size, constant(dim, "size of a sorted dim"));
    if (a->first < 0 || a->count < 0 || a->count > size || a->first > size - a->count)
      return fail("more elements are wanted than there are");
    dim = Dim(a->count);
    KILN_ASSIGN(TensorType values, done(x->dtype, out));
    KILN_ASSIGN(TensorType indices, done(DType::i64, std::move(out)));
    return TensorTypes{std::move(values), std::move(indices)};
  }

  Result<TensorType> taps() const {
    KILN_ASSIGN(const TapsAttrs* a, attrs<TapsAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    if (size_of(x->dtype) == 8) return refuse("64-bit integers cannot be resized: make them float32 or int32 before");
    KILN_TRY(axis_set({a->axis}, x->shape.size()));
    Shape out = x->shape;
    Dim& dim = out[static_cast<size_t>(a->axis)];
    const bool weighted = !a->weights.empty();
    const auto n = static_cast<int64_t>(a->index.size());
    bool fits = dim.is_constant() && a->taps > 0 && n > 0 && n % a->taps == 0 &&
                (weighted ? a->weights.size() == a->index.size() : a->taps == 1) &&
                (x->dtype == DType::f32 || (!weighted && size_of(x->dtype) <= 4));
    for (int64_t i : a->index) fits = fits && i >= 0 && i < dim.value;
    if (!fits) return fail("a table that does not fit the input");
    dim = Dim(n / a->taps);
    return done(x->dtype, std::move(out));
  }

  Result<TensorType> reshape() const {
    KILN_ASSIGN(const Value* x, need(0, "input"));
    KILN_ASSIGN(TensorType out, done(x->dtype, wanted_.shape));
    // Both sides must have the same symbols, and their constant dims must have equal products.
    std::vector<int> from, to;
    Shape rest_from, rest_to;
    for (const Dim& d : x->shape) d.is_constant() ? rest_from.push_back(d) : from.push_back(d.symbol);
    for (const Dim& d : out.shape) d.is_constant() ? rest_to.push_back(d) : to.push_back(d.symbol);
    std::sort(from.begin(), from.end());
    std::sort(to.begin(), to.end());
    if (from != to || element_count(rest_from) != element_count(rest_to))
      return fail("cannot view " + to_string(x->shape) + " as " + to_string(out.shape));
    return out;
  }

  Result<TensorType> permute() const {
    KILN_ASSIGN(const PermuteAttrs* a, attrs<PermuteAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    if (a->axes.size() != x->shape.size())
      return fail(std::to_string(a->axes.size()) + " axes for " + std::to_string(x->shape.size()) + " dims");
    KILN_TRY(axis_set(a->axes, x->shape.size()));
    Shape out;
    for (int64_t axis : a->axes) out.push_back(x->shape[static_cast<size_t>(axis)]);
    return done(x->dtype, std::move(out));
  }

  Result<TensorType> expand() const {
    KILN_ASSIGN(const Value* x, need(0, "input"));
    if (!broadcasts_to(x->shape, wanted_.shape))
      return fail("cannot expand " + to_string(x->shape) + " to " + to_string(wanted_.shape));
    return done(x->dtype, wanted_.shape);
  }

  Result<TensorType> slice() const {
    KILN_ASSIGN(const SliceAttrs* a, attrs<SliceAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    const size_t rank = x->shape.size();
    if (a->start.size() != rank || a->step.size() != rank || wanted_.shape.size() != rank)
      return fail("one start and step per dim is needed");
    KILN_TRY(done(x->dtype, wanted_.shape));
    for (size_t i = 0; i < rank; ++i) {
      if (a->start[i] == 0 && a->step[i] == 1 && wanted_.shape[i] == x->shape[i]) continue;
      KILN_ASSIGN(const int64_t size, constant(x->shape[i], "size of a sliced dim"));
      KILN_ASSIGN(const int64_t count, constant(wanted_.shape[i], "size of a slice"));
      if (count == 0 && a->start[i] >= 0 && a->start[i] <= size) continue;
      if (a->start[i] < 0 || a->start[i] >= size || a->step[i] == 0 || a->step[i] > kMaxAttr || a->step[i] < -kMaxAttr)
        return fail("the slice starts outside its input");
      int64_t last = 0;
      if (__builtin_mul_overflow(count - 1, a->step[i], &last) || __builtin_add_overflow(last, a->start[i], &last) ||
          last < 0 || last >= size)
        return fail("the slice reaches outside its input (size " + std::to_string(size) + ")");
    }
    return done(x->dtype, wanted_.shape);
  }

  Result<TensorType> concat() const {
    KILN_ASSIGN(const AxisAttrs* a, attrs<AxisAttrs>());
    KILN_ASSIGN(const Value* first, need(0, "first part"));
    KILN_TRY(axis_set({a->axis}, first->shape.size()));
    const auto axis = static_cast<size_t>(a->axis);
    Shape out = first->shape;
    for (size_t i = 1; i < limit(); ++i) {
      KILN_ASSIGN(const Value* x, need(i, "part"));
      if (x->dtype != first->dtype) return fail("parts of different types");
      Shape like = x->shape;
      if (like.size() != out.size())
        return fail("parts " + to_string(first->shape) + " and " + to_string(x->shape) + " do not fit");
      KILN_ASSIGN(const int64_t so_far, constant(out[axis], "size of a concatenated dim"));
      KILN_ASSIGN(const int64_t more, constant(like[axis], "size of a concatenated dim"));
      like[axis] = out[axis];
      if (like != out) return fail("parts " + to_string(first->shape) + " and " + to_string(x->shape) + " do not fit");
      if (more < 0 || so_far > kMaxElements || more > kMaxElements) return fail("the result is too large");
      out[axis] = Dim(so_far + more);
    }
    return done(first->dtype, std::move(out));
  }

  Result<TensorType> pad() const {
    KILN_ASSIGN(const PadAttrs* a, attrs<PadAttrs>());
    KILN_ASSIGN(const Value* x, need(0, "input"));
    if (a->before.size() != x->shape.size() || a->after.size() != x->shape.size())
      return fail("one padding per dim is needed");
    Shape out = x->shape;
    for (size_t i = 0; i < out.size(); ++i) {
      if (a->before[i] < 0 || a->after[i] < 0 || a->before[i] > kMaxAttr || a->after[i] > kMaxAttr)
        return fail("padding must be between 0 and 2^30");
      if (a->before[i] == 0 && a->after[i] == 0) continue;
      KILN_ASSIGN(const int64_t size, constant(out[i], "size of a padded dim"));
      if (size > kMaxElements) return fail("the result is too large");
      out[i] = Dim(size + a->before[i] + a->after[i]);
    }
    return done(x->dtype, std::move(out));
  }

  Result<TensorType> branch() const {
    KILN_ASSIGN(const Value* condition, need(0, "condition"));
    if (condition->dtype != DType::boolean || !condition->shape.empty()) return fail("a condition is one boolean");
    return done(DType::boolean, {});
  }

  Result<TensorType> join() const {
    KILN_ASSIGN(const Value* a, need(2, "value of a branch"));
    KILN_ASSIGN(const Value* b, need(3, "value of a branch"));
    if (a->dtype != b->dtype || a->shape != b->shape) return fail("the branches give values of different types");
    return done(a->dtype, a->shape);
  }

  /// What a loop carries keeps its type, and each result has as many parts as there are rounds.
  Result<TensorTypes> loop() const {
    KILN_ASSIGN(const LoopAttrs* a, attrs<LoopAttrs>());
    const bool begins = node_.op == Op::loop;
    if (node_.inputs.size() != a->carried + (begins ? 0 : 1 + a->results.size()))
      return fail("another number of values is carried");
    if (!begins && (a->bound < 0 || (a->bound == 0 && (!a->conditional || !a->results.empty()))))
      return fail("it has no end");
    TensorTypes types;
    if (begins) types.push_back({DType::i64, {}});
    for (size_t i = begins ? 0 : 1; i < node_.inputs.size(); ++i) {
      KILN_ASSIGN(const Value* v, need(i, "value"));
      Shape shape = v->shape;
      if (is_empty(shape)) return fail("what has no elements is not carried");
      if (!begins && i > a->carried) shape.insert(shape.begin(), Dim(a->bound));
      if (shape.size() > kMaxRank || element_count(shape) > kMaxElements) return fail("a result is too large");
      types.push_back({v->dtype, std::move(shape)});
    }
    if (a->conditional && (types[begins].dtype != DType::boolean || !types[begins].shape.empty()))
      return fail("a condition is one boolean");
    return types;
  }

  const Graph& graph_;
  const Node& node_;
  const TensorType& wanted_;
};

Status verify_result(const Graph& graph, const Node& node, const Value& out, const TensorType& type) {
  if (is_empty(out.shape)) return misfit("a node computes what has no elements");
  if (type.shape != out.shape)
    return misfit(std::string(name_of(node.op)) + ": has shape " + to_string(out.shape) + ", should have " +
                  to_string(type.shape));
  if (!node.epilogue.empty()) {
    const Inference check(graph, node, {out.dtype, out.shape});
    KILN_TRY(check.check_expr(node.epilogue, node.epilogue_begin, type.dtype, out.dtype));
    for (size_t i = static_cast<size_t>(node.epilogue_begin); i < node.inputs.size(); ++i)
      if (!broadcasts_to(graph.value(node.inputs[i]).shape, out.shape))
        return misfit("an epilogue operand does not broadcast to the result");
  } else if (type.dtype != out.dtype) {
    return misfit(std::string(name_of(node.op)) + ": is " + name_of(out.dtype) + ", should be " + name_of(type.dtype));
  }
  return ok();
}

Status verify_node(const Graph& graph, const Node& node, std::vector<bool>& ready) {
  const auto end = static_cast<ValueId>(graph.values.size());
  for (ValueId id : node.inputs)
    if (id != kNoValue && (id < 0 || id >= end || !ready[static_cast<size_t>(id)]))
      return misfit("a value is read before it is computed");
  bool any = false;
  for (ValueId id : node.outputs) {
    if (id < kNoValue || id >= end || (id != kNoValue && ready[static_cast<size_t>(id)]))
      return misfit("a node computes what is there already, or is no value");
    any = any || id != kNoValue;
  }
  if (!any) return misfit("a canonical node has an output");
  if (!node.epilogue.empty() && (node.op == Op::map || node.outputs.size() != 1))
    return misfit("a map, or a node of several results, with an epilogue");
  TensorType wanted;
  if (node.outputs[0] != kNoValue) wanted = {graph.value(node.outputs[0]).dtype, graph.value(node.outputs[0]).shape};
  KILN_ASSIGN(const TensorTypes types, infer(graph, node, wanted));
  if (types.size() != node.outputs.size())
    return misfit(std::string(name_of(node.op)) + ": has " + std::to_string(node.outputs.size()) +
                  " outputs, should have " + std::to_string(types.size()));
  for (size_t i = 0; i < types.size(); ++i) {
    if (node.outputs[i] == kNoValue) continue;
    KILN_TRY(verify_result(graph, node, graph.value(node.outputs[i]), types[i]));
    ready[static_cast<size_t>(node.outputs[i])] = true;
  }
  return ok();
}

}  // namespace

Result<TensorTypes> infer(const Graph& graph, const Node& node, const TensorType& wanted) {
  return Inference(graph, node, wanted).run();
}

Status verify(const Graph& graph) {
  std::vector<bool> ready(graph.values.size(), false);
  for (size_t i = 0; i < graph.values.size(); ++i)
    ready[i] = graph.values[i].is_weight() || graph.values[i].is_constant() || is_empty(graph.values[i].shape);
  for (ValueId id : graph.inputs) ready[static_cast<size_t>(id)] = true;
  for (const Node& node : graph.nodes) {
    Status status = verify_node(graph, node, ready);
    if (!status.ok()) return Error{ErrorCode::internal, status.error().message, node.source + " " + node.where};
  }
  for (ValueId id : graph.outputs)
    if (!ready[static_cast<size_t>(id)])
      return Error{ErrorCode::internal, "an output is never computed", graph.value(id).name};
  return ok();
}

}  // namespace kiln
