#include "jit/epilogue.h"

#include <algorithm>

#include "jit/half.h"

namespace kiln {

Vec load_strided(Emitter& e, Mem at, DType type, int64_t stride, int lanes) {
  if (is_half(type)) return from_half(e, load_strided(e, at, DType::u16, stride, lanes), type);
  const Vec v = e.vec();
  const int64_t size = size_of(type);
  if (stride == 1) {
    e.load(v, at, type, lanes);
  } else if (stride == 0 && size == 4) {
    e.splat_load(v, at);
  } else if (stride == 0) {
    const Int word = e.integer();
    e.load_int(word, at, type);
    e.splat_int(v, word);
    if (type == DType::boolean) {
      const Vec zero = e.vec();
      e.splat_i32(zero, 0);
      e.compare(v, Lane::i32, Compare::ne, v, zero);
    }
  } else if (size == 4 || size == 8) {
    e.splat_i32(v, 0);
    for (int i = 0; i < lanes; ++i) e.load_lane(v, i, {at.base, at.offset + i * stride * size});
  } else {  // narrower: put the elements together by rotating one in at a time
    e.splat_i32(v, 0);
    const Vec one = e.vec();
    for (int i = lanes; i-- > 0;) {
      e.load(one, {at.base, at.offset + i * stride * size}, type, 1);
      e.rotate(v, v, e.width() - 1);
      e.op(VecBinary::or_, v, v, one);
    }
  }
  return v;
}

void store_strided(Emitter& e, Mem at, Vec v, DType type, int64_t stride, int lanes) {
  if (is_half(type)) return store_strided(e, at, to_half(e, v, type), DType::u16, stride, lanes);
  if (stride == 1 || lanes == 1) return e.store(at, v, type, lanes);
  const int64_t size = size_of(type);
  if (size == 4) {
    for (int i = 0; i < lanes; ++i) e.store_lane({at.base, at.offset + i * stride * size}, v, i);
    return;
  }
  const Vec turned = e.vec();
  e.set(turned, v);
  for (int i = 0; i < lanes; ++i) {
    e.store({at.base, at.offset + i * stride * size}, turned, type, 1);
    if (i + 1 < lanes) e.rotate(turned, turned, 1);
  }
}

integer::Wide load_strided(Emitter& e, Mem at, DType type, Lane lane, int64_t stride, int lanes) {
  if (!is_pair(lane)) return {load_strided(e, at, type, stride, lanes)};
  if (size_of(type) == 4) {  // uint32
    const Vec zero = e.vec();
    e.splat_i32(zero, 0);
    return {load_strided(e, at, type, stride, lanes), zero};
  }
  integer::Wide v{e.vec(), e.vec()};
  const int64_t step = 8 * stride;
  const Mem above{at.base, at.offset + 4};
  if (stride == 0) {
    e.splat_load(v.low, at);
    e.splat_load(v.high, above);
    return v;
  }
  e.splat_i32(v.low, 0);
  e.splat_i32(v.high, 0);
  for (int i = 0; i < lanes; ++i) {
    e.load_lane(v.low, i, {at.base, at.offset + i * step});
    e.load_lane(v.high, i, {above.base, above.offset + i * step});
  }
  return v;
}

void store_strided(Emitter& e, Mem at, const integer::Wide& v, DType type, Lane lane, int64_t stride, int lanes) {
  if (!is_pair(lane) || size_of(type) == 4) return store_strided(e, at, v.low, type, stride, lanes);
  for (int i = 0; i < lanes; ++i) {
    e.store_lane({at.base, at.offset + i * 8 * stride}, v.low, i);
    e.store_lane({at.base, at.offset + i * 8 * stride + 4}, v.high, i);
  }
}

Vec apply_epilogue(Emitter& e, const Epilogue& epilogue, Vec acc, int lanes, FunctionRef<Mem(int operand)> operand) {
  if (epilogue.empty()) return acc;
  std::vector<Vec> inputs{acc};
  for (size_t i = 0; i < epilogue.operands.size(); ++i) {
    const FusedOperand& o = epilogue.operands[i];
    inputs.push_back(load_strided(e, operand(static_cast<int>(i)), o.dtype, o.strides.back(), lanes));
  }
  return emit_expr(e, epilogue.expr, inputs);
}

std::string code_text(const Epilogue& epilogue) {
  if (epilogue.empty()) return "";
  std::string text = " epi=" + to_string(epilogue.expr);
  for (const FusedOperand& o : epilogue.operands)
    text += std::string(" ") + name_of(o.dtype) + (moves(o) ? "row" : "") + std::to_string(o.strides[4]);
  return text;
}

namespace {

/// How often the instructions read operand `operand`; 0 is the sum.
int uses_of(const std::vector<PointInst>& insts, uint16_t operand) {
  const auto is_it = [&](uint16_t at) { return insts[at].op == PointOp::input && insts[at].a == operand; };
  int uses = 0;
  for (const PointInst& i : insts) {
    const int n = arity(i.op);
    uses += (n > 0 && is_it(i.a)) + (n > 1 && is_it(i.b)) + (n > 2 && is_it(i.c));
  }
  return uses;
}

/// The instruction that adds a bias to the sum, where neither is read again.
const PointInst* bias_sum(const Epilogue& epilogue) {
  const std::vector<PointInst>& insts = epilogue.expr.insts;
  const auto is_sum = [&](uint16_t at) { return insts[at].op == PointOp::input && insts[at].a == 0; };
  const auto is_bias = [&](uint16_t at) {
    const PointInst& i = insts[at];
    if (i.op != PointOp::input || i.a == 0) return false;
    const FusedOperand& o = epilogue.operands[i.a - 1u];
    return o.dtype == DType::f32 && !moves(o) && uses_of(insts, i.a) == 1;
  };
  if (uses_of(insts, 0) != 1) return nullptr;
  for (const PointInst& i : insts)
    if (i.op == PointOp::add && i.lane == Lane::f32 && ((is_sum(i.a) && is_bias(i.b)) || (is_sum(i.b) && is_bias(i.a))))
      return &i;
  return nullptr;
}

}  // namespace

std::optional<size_t> bias_of(const Epilogue& epilogue) {
  const PointInst* sum = bias_sum(epilogue);
  if (!sum) return std::nullopt;
  const uint16_t a = epilogue.expr.insts[sum->a].a, b = epilogue.expr.insts[sum->b].a;
  return static_cast<size_t>(std::max(a, b)) - 1;  // the other one is 0
}

Expr without_bias(const Epilogue& epilogue) {
  Expr expr = epilogue.expr;
  if (const PointInst* sum = bias_sum(epilogue)) {
    PointInst& began = expr.insts[static_cast<size_t>(sum - epilogue.expr.insts.data())];
    began = {};  // reads operand 0
  }
  return expr;
}

DType stored_type(const Epilogue& epilogue, DType plain) {
  if (epilogue.empty()) return plain;
  switch (epilogue.expr.lane()) {
    case Lane::f32:
      return DType::f32;
    case Lane::i32:
      return DType::i32;
    case Lane::i64:
      return DType::i64;
    default:
      return DType::boolean;
  }
}

}  // namespace kiln
