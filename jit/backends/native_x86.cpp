#include "jit/backends/native_x86.h"

#include <algorithm>
#include <cstring>

namespace kiln::native {

using asmjit::Imm;
using asmjit::InstId;
namespace Inst = x86::Inst;

namespace {

bool is_i32(int64_t v) { return v == static_cast<int32_t>(v); }
bool is_power(int64_t v) { return v > 0 && (v & (v - 1)) == 0; }
int log2_of(int64_t v) { return __builtin_ctzll(static_cast<uint64_t>(v)); }

Compare opposite(Compare cmp) {
  constexpr Compare kOpposite[] = {Compare::ne, Compare::eq, Compare::ge, Compare::gt, Compare::le, Compare::lt};
  return kOpposite[static_cast<int>(cmp)];
}

}  // namespace

// -- integers

x86::Mem X86Emitter::mem(Mem m, uint32_t size) {
  if (is_i32(m.offset)) return x86::ptr(reg(m.base), static_cast<int32_t>(m.offset), size);
  return x86::ptr(reg(m.base), value(m.offset), 0, 0, size);
}

void X86Emitter::set(Int dst, Arg src) {
  if (src.is_imm())
    cc.mov(reg(dst), Imm(src.imm));
  else if (src.reg.id != dst.id)
    cc.mov(reg(dst), reg(src.reg));
}

void X86Emitter::two_operand(InstId inst, const x86::Gp& dst, const Arg& a, const Arg& b) {
  const bool clash = !b.is_imm() && reg(b.reg) == dst;
  const x86::Gp to = clash ? cc.newInt64() : dst;
  if (a.is_imm())
    cc.mov(to, Imm(a.imm));
  else if (reg(a.reg) != to)
    cc.mov(to, reg(a.reg));
  if (b.is_imm() && is_i32(b.imm))
    cc.emit(inst, to, Imm(b.imm));
  else
    cc.emit(inst, to, value(b));
  if (clash) cc.mov(dst, to);
}

void X86Emitter::divide(const x86::Gp& dst, const x86::Gp& a, const Arg& b, bool remainder) {
  const x86::Gp high = cc.newInt64(), low = cc.newInt64(), divisor = value(b);
  cc.xor_(high, high);
  cc.mov(low, a);
  cc.div(high, low, divisor);
  cc.mov(dst, remainder ? high : low);
}

void X86Emitter::op(IntOp operation, Int dst_id, Arg a, Arg b) {
  const x86::Gp dst = reg(dst_id);
  const bool power = b.is_imm() && is_power(b.imm);
  switch (operation) {
    case IntOp::add:
      if (a.is_imm()) std::swap(a, b);
      if (!a.is_imm() && b.is_imm() && is_i32(b.imm) && a.reg.id != dst_id.id)
        return b.imm ? void(cc.lea(dst, x86::ptr(reg(a.reg), static_cast<int32_t>(b.imm)))) : set(dst_id, a);
      if (b.is_imm() && b.imm == 0) return set(dst_id, a);
      if (!b.is_imm() && b.reg.id == dst_id.id) std::swap(a, b);
      return two_operand(Inst::kIdAdd, dst, a, b);
    case IntOp::sub:
      return two_operand(Inst::kIdSub, dst, a, b);
    case IntOp::mul:
      if (power) return op(IntOp::shl, dst_id, a, log2_of(b.imm));
      if (b.is_imm() && is_i32(b.imm)) return void(cc.imul(dst, value(a), Imm(b.imm)));
      return two_operand(Inst::kIdImul, dst, a, b);
    case IntOp::div:
      if (power) return op(IntOp::shr, dst_id, a, log2_of(b.imm));
      return divide(dst, value(a), b, false);
    case IntOp::rem:
      if (power) return op(IntOp::and_, dst_id, a, b.imm - 1);
      return divide(dst, value(a), b, true);
    case IntOp::min:
    case IntOp::max: {
      const x86::Gp x = cc.newInt64(), y = value(b);
      cc.mov(x, value(a));
      cc.cmp(x, y);
      cc.emit(operation == IntOp::min ? Inst::kIdCmovg : Inst::kIdCmovl, x, y);
      return void(cc.mov(dst, x));
    }
    case IntOp::and_:
      return two_operand(Inst::kIdAnd, dst, a, b);
    case IntOp::or_:
      return two_operand(Inst::kIdOr, dst, a, b);
    case IntOp::shl:
    case IntOp::shr: {
      const bool left = operation == IntOp::shl;
      if (b.is_imm()) return two_operand(left ? Inst::kIdShl : Inst::kIdShr, dst, a, b);
      return void(cc.emit(left ? Inst::kIdShlx : Inst::kIdShrx, dst, value(a), reg(b.reg)));
    }
  }
}

void X86Emitter::load_int(Int dst, Mem src, DType type) {
  const x86::Gp r = reg(dst);
  switch (type) {
    case DType::i64:
    case DType::u64:
      return void(cc.mov(r, mem(src)));
    case DType::i32:
      return void(cc.movsxd(r, mem(src, 4)));
    case DType::i8:
      return void(cc.movsx(r, mem(src, 1)));
    case DType::i16:
      return void(cc.movsx(r, mem(src, 2)));
    case DType::u16:
      return void(cc.movzx(r, mem(src, 2)));
    default:
      return void(cc.movzx(r, mem(src, 1)));
  }
}

void X86Emitter::store_int(Mem dst, Int src, DType type) {
  const x86::Gp r = reg(src);
  switch (size_of(type)) {
    case 8:
      return void(cc.mov(mem(dst), r));
    case 4:
      return void(cc.mov(mem(dst), r.r32()));
    case 2:
      return void(cc.mov(mem(dst), r.r16()));
    default:
      return void(cc.mov(mem(dst), r.r8()));
  }
}

// -- control

void X86Emitter::jump(Int a, Compare cmp, const Arg& b, const asmjit::Label& to) {
  constexpr InstId kJumps[] = {Inst::kIdJe, Inst::kIdJne, Inst::kIdJl, Inst::kIdJle, Inst::kIdJg, Inst::kIdJge};
  if (b.is_imm() && is_i32(b.imm))
    cc.cmp(reg(a), Imm(b.imm));
  else
    cc.cmp(reg(a), value(b));
  cc.emit(kJumps[static_cast<int>(cmp)], to);
}

void X86Emitter::do_while(FunctionRef<void()> body, Int a, Compare cmp, Arg b) {
  const asmjit::Label again = cc.newLabel();
  cc.bind(again);
  body();
  jump(a, cmp, b, again);
}

void X86Emitter::if_(Int a, Compare cmp, Arg b, FunctionRef<void()> then, FunctionRef<void()> otherwise) {
  const asmjit::Label no = cc.newLabel(), end = cc.newLabel();
  jump(a, opposite(cmp), b, no);
  then();
  cc.jmp(end);
  asmjit::BaseNode* const skip = cc.cursor();
  cc.bind(no);
  if (!emits(otherwise)) cc.removeNode(skip);
  cc.bind(end);
}

// -- atomics

void X86Emitter::atomic_add(Int old, Mem word, Arg v) {
  const x86::Gp t = cc.newInt64();
  cc.mov(t, value(v));
  cc.lock().xadd(mem(word, 4), t.r32());
  cc.movsxd(reg(old), t.r32());
}

void X86Emitter::atomic_store(Mem word, Arg v) {
  const x86::Gp t = cc.newInt64();
  cc.mov(t, value(v));
  cc.xchg(mem(word, 4), t.r32());
}

// -- vectors

x86::Mem X86Emitter::lanes_of(uint32_t bits) {
  if (width() == 16) return cc.newUInt32Const(asmjit::ConstPoolScope::kGlobal, bits)._1to16();
  uint32_t all[8];
  std::fill(all, all + 8, bits);
  return cc.newConst(asmjit::ConstPoolScope::kGlobal, all, sizeof all);
}

void X86Emitter::splat(Vec dst, float v) {
  int32_t bits;
  std::memcpy(&bits, &v, 4);
  splat_i32(dst, bits);
}

void X86Emitter::splat_i32(Vec dst, int32_t v) {
  if (v == 0) return zero(cc, reg(dst));
  cc.vbroadcastss(reg(dst), cc.newInt32Const(asmjit::ConstPoolScope::kGlobal, v));
}

void X86Emitter::splat_int(Vec dst, Int src) {
  const x86::Xmm low = cc.newXmm();
  cc.vmovd(low, reg(src).r32());
  cc.vpbroadcastd(reg(dst), low);
}

void X86Emitter::op(VecUnary operation, Vec to, Vec from) {
  const x86::Vec dst = reg(to), a = reg(from);
  switch (operation) {
    case VecUnary::neg:
      return void(cc.vxorps(dst, a, lanes_of(0x80000000u)));
    case VecUnary::abs:
      return void(cc.vandps(dst, a, lanes_of(0x7fffffffu)));
    case VecUnary::sqrt:
      return void(cc.vsqrtps(dst, a));
    case VecUnary::round:
      return round_to(dst, a, 8);
    case VecUnary::floor:
      return round_to(dst, a, 9);
    case VecUnary::ceil:
      return round_to(dst, a, 10);
    case VecUnary::trunc:
      return round_to(dst, a, 11);
    case VecUnary::not_:
      return void(cc.vxorps(dst, a, lanes_of(~0u)));
    case VecUnary::i32_neg: {
      const x86::Vec nothing = new_vec();
      zero(cc, nothing);
      return void(cc.vpsubd(dst, nothing, a));
    }
    case VecUnary::i32_abs:
      return void(cc.vpabsd(dst, a));
    case VecUnary::f32_to_i32:
      return f32_to_i32(dst, a);
    case VecUnary::i32_to_f32:
      return void(cc.vcvtdq2ps(dst, a));
  }
}

void X86Emitter::op(VecBinary operation, Vec dst, Vec a, Vec b) {
  // minps(x, y) is x < y ? x : y, and andnps(x, y) is ~x & y: their operands change places.
  constexpr InstId kInsts[] = {Inst::kIdVaddps,  Inst::kIdVsubps, Inst::kIdVmulps, Inst::kIdVdivps,  Inst::kIdVminps,
                               Inst::kIdVmaxps,  Inst::kIdVpaddd, Inst::kIdVpsubd, Inst::kIdVpmulld, Inst::kIdVpminsd,
                               Inst::kIdVpmaxsd, Inst::kIdVandps, Inst::kIdVorps,  Inst::kIdVxorps,  Inst::kIdVandnps};
  const bool turned = operation == VecBinary::min || operation == VecBinary::max || operation == VecBinary::andnot;
  cc.emit(kInsts[static_cast<int>(operation)], reg(dst), reg(turned ? b : a), reg(turned ? a : b));
}

void X86Emitter::madd(Vec dst, Vec a, Vec b, Vec c) {
  if (dst.id == a.id) return void(cc.vfmadd213ps(reg(a), reg(b), reg(c)));
  if (dst.id == b.id) return void(cc.vfmadd213ps(reg(b), reg(a), reg(c)));
  if (dst.id != c.id) set(dst, c);
  cc.vfmadd231ps(reg(dst), reg(a), reg(b));
}

void X86Emitter::nmadd(Vec dst, Vec a, Vec b, Vec c) {
  if (dst.id == a.id) return void(cc.vfnmadd213ps(reg(a), reg(b), reg(c)));
  if (dst.id == b.id) return void(cc.vfnmadd213ps(reg(b), reg(a), reg(c)));
  if (dst.id != c.id) set(dst, c);
  cc.vfnmadd231ps(reg(dst), reg(a), reg(b));
}

void X86Emitter::dot_i16(Vec dst, Vec a, Vec b, Vec c) {
  const Vec products = vec();
  cc.vpmaddwd(reg(products), reg(a), reg(b));
  cc.vpaddd(reg(dst), reg(c), reg(products));
}

int X86Emitter::f32_predicate(Compare cmp) {
  constexpr int kPredicates[] = {0x00, 0x04, 0x11, 0x12, 0x1e, 0x1d};  // ordered and quiet; ne is unordered
  return kPredicates[static_cast<int>(cmp)];
}

}  // namespace kiln::native
