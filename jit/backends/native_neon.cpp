#include "jit/backends/native_neon.h"

#include <asmjit/arm/a64compiler.h>

#include <algorithm>
#include <cstring>

#include "jit/backends/native_common.h"

namespace kiln::native {
namespace {

namespace a64 = asmjit::a64;
using Inst = a64::Inst;
using asmjit::Imm;
using asmjit::InstId;

bool is_power(int64_t v) { return v > 0 && (v & (v - 1)) == 0; }
int log2_of(int64_t v) { return __builtin_ctzll(static_cast<uint64_t>(v)); }
bool is_imm12(int64_t v) { return v >= 0 && v < 4096; }

a64::CondCode condition(Compare cmp) {
  constexpr a64::CondCode kConditions[] = {a64::CondCode::kEQ, a64::CondCode::kNE, a64::CondCode::kLT,
                                           a64::CondCode::kLE, a64::CondCode::kGT, a64::CondCode::kGE};
  return kConditions[static_cast<int>(cmp)];
}
Compare opposite(Compare cmp) {
  constexpr Compare kOpposite[] = {Compare::ne, Compare::eq, Compare::ge, Compare::gt, Compare::le, Compare::lt};
  return kOpposite[static_cast<int>(cmp)];
}
Compare turned(Compare cmp) {
  constexpr Compare kTurned[] = {Compare::eq, Compare::ne, Compare::gt, Compare::ge, Compare::lt, Compare::le};
  return kTurned[static_cast<int>(cmp)];
}

/// An element that was loaded to be splatted stays a scalar until an operation needs all lanes. A multiply-add takes a
/// scalar directly (`fmla v.4s, v.4s, v.s[0]`). So vectors must be read through in() and written through out().
class NeonEmitter final : public NativeEmitter<a64::Compiler, a64::Gp, a64::Vec> {
 public:
  using Emitter::load;
  using Emitter::store;
  explicit NeonEmitter(const Target& target) : NativeEmitter(target, asmjit::Arch::kAArch64) {}

  Func begin_function(const std::string& name, int params, bool exported) override {
    scalar_.clear();
    return NativeEmitter::begin_function(name, params, exported);
  }

  // -- integers
  void set(Int dst, Arg src) override {
    if (src.is_imm())
      cc.mov(reg(dst), Imm(src.imm));
    else if (src.reg.id != dst.id)
      cc.mov(reg(dst), reg(src.reg));
  }
  void op(IntOp operation, Int dst_id, Arg a, Arg b) override {
    const a64::Gp dst = reg(dst_id);
    const bool power = b.is_imm() && is_power(b.imm);
    switch (operation) {
      case IntOp::add:
        if (a.is_imm()) std::swap(a, b);
        if (b.is_imm() && b.imm == 0) return set(dst_id, a);
        return sum(dst, value(a), b, 1);
      case IntOp::sub:
        return sum(dst, value(a), b, -1);
      case IntOp::mul:
        if (power) return op(IntOp::shl, dst_id, a, log2_of(b.imm));
        return void(cc.mul(dst, value(a), value(b)));
      case IntOp::div:
        if (power) return op(IntOp::shr, dst_id, a, log2_of(b.imm));
        return void(cc.udiv(dst, value(a), value(b)));
      case IntOp::rem: {
        if (power) return op(IntOp::and_, dst_id, a, b.imm - 1);
        const a64::Gp x = value(a), divisor = value(b), quotient = cc.newInt64();
        cc.udiv(quotient, x, divisor);
        return void(cc.msub(dst, quotient, divisor, x));
      }
      case IntOp::min:
      case IntOp::max: {
        const a64::Gp x = value(a), y = value(b);
        cc.cmp(x, y);
        return void(cc.csel(dst, x, y, Imm(operation == IntOp::min ? a64::CondCode::kLT : a64::CondCode::kGT)));
      }
      case IntOp::and_:
        return void(cc.and_(dst, value(a), value(b)));
      case IntOp::or_:
        return void(cc.orr(dst, value(a), value(b)));
      case IntOp::shl:
        return void(b.is_imm() ? cc.lsl(dst, value(a), Imm(b.imm)) : cc.lsl(dst, value(a), reg(b.reg)));
      case IntOp::shr:
        return void(b.is_imm() ? cc.lsr(dst, value(a), Imm(b.imm)) : cc.lsr(dst, value(a), reg(b.reg)));
    }
  }
  void load_int(Int dst, Mem src, DType type) override {
    const a64::Gp r = reg(dst);
    switch (type) {
      case DType::i64:
      case DType::u64:
        return void(cc.ldr(r, mem(src, 8)));
      case DType::i32:
        return void(cc.ldrsw(r, mem(src, 4)));
      case DType::i8:
        return void(cc.ldrsb(r, mem(src, 1)));
      case DType::i16:
        return void(cc.ldrsh(r, mem(src, 2)));
      case DType::u16:
        return void(cc.ldrh(r.w(), mem(src, 2)));
      default:
        return void(cc.ldrb(r.w(), mem(src, 1)));
    }
  }
  void store_int(Mem dst, Int src, DType type) override {
    const a64::Gp r = reg(src);
    switch (size_of(type)) {
      case 8:
        return void(cc.str(r, mem(dst, 8)));
      case 4:
        return void(cc.str(r.w(), mem(dst, 4)));
      case 2:
        return void(cc.strh(r.w(), mem(dst, 2)));
      default:
        return void(cc.strb(r.w(), mem(dst, 1)));
    }
  }

  // -- control
  void do_while(FunctionRef<void()> body, Int a, Compare cmp, Arg b) override {
    settle();
    const asmjit::Label again = cc.newLabel();
    cc.bind(again);
    body();
    settle();
    jump(a, cmp, b, again);
  }
  void if_(Int a, Compare cmp, Arg b, FunctionRef<void()> then, FunctionRef<void()> otherwise) override {
    settle();
    const asmjit::Label no = cc.newLabel(), end = cc.newLabel();
    jump(a, opposite(cmp), b, no);
    then();
    settle();
    cc.b(end);
    asmjit::BaseNode* const skip = cc.cursor();
    cc.bind(no);
    const bool two = emits([&] {
      otherwise();
      settle();
    });
    if (!two) cc.removeNode(skip);
    cc.bind(end);
  }

  // -- vectors
  void set(Vec dst, Vec src) override {
    const a64::Vec from = in(src);
    cc.mov(out(dst).b16(), from.b16());
  }
  void splat(Vec dst, float value) override {
    int32_t bits;
    std::memcpy(&bits, &value, 4);
    splat_i32(dst, bits);
  }
  void splat_i32(Vec dst, int32_t bits) override {
    const a64::Vec v = out(dst);
    if (bits >= 0 && bits < 256) return void(cc.movi(v.s4(), Imm(bits)));
    // next to the function that reads it: the instruction reaches a megabyte
    const int32_t all[4] = {bits, bits, bits, bits};
    cc.ldr(v.q(), cc.newConst(asmjit::ConstPoolScope::kLocal, all, sizeof all));
  }
  void splat_int(Vec dst, Int src) override { cc.dup(out(dst).s4(), reg(src).w()); }
  void splat_load(Vec dst, Mem src) override {
    cc.ldr(out(dst).s(), mem(src, 4));
    scalar_.push_back(dst.id);
  }
  void load(Vec dst, Mem src, DType type, int lanes) override {
    if (size_of(type) == 4) return load_words(out(dst), src, lanes);
    if (size_of(type) == 8) return load_wide(out(dst), src, lanes);
    if (size_of(type) == 2) return load_shorts(out(dst), src, type, lanes);
    load_bytes(out(dst), src, type, lanes);
  }
  void store(Mem dst, Vec src, DType type, int lanes) override {
    if (size_of(type) == 4) return store_words(dst, in(src), lanes);
    if (size_of(type) == 8) return store_wide(dst, in(src), lanes);
    if (size_of(type) == 2) return store_shorts(dst, in(src), lanes);
    store_bytes(dst, in(src), type, lanes);
  }
  void load_lane(Vec dst, int lane, Mem src) override {
    cc.ld1(in(dst).s(static_cast<uint32_t>(lane)), a64::ptr(address_of(src)));
  }
  void store_lane(Mem dst, Vec src, int lane) override {
    const a64::Vec v = in(src);
    if (lane == 0) return void(cc.str(v.s(), mem(dst, 4)));
    cc.st1(v.s(static_cast<uint32_t>(lane)), a64::ptr(address_of(dst)));
  }
  void op(VecUnary operation, Vec dst, Vec a) override {
    constexpr InstId kInsts[] = {Inst::kIdFneg_v,   Inst::kIdFabs_v,   Inst::kIdFsqrt_v,  Inst::kIdFrintm_v,
                                 Inst::kIdFrintp_v, Inst::kIdFrintn_v, Inst::kIdFrintz_v, Inst::kIdMvn_v,
                                 Inst::kIdNeg_v,    Inst::kIdAbs_v,    Inst::kIdFcvtzs_v, Inst::kIdScvtf_v};
    const a64::Vec from = in(a), to = out(dst);
    if (operation == VecUnary::not_) return void(cc.mvn(to.b16(), from.b16()));
    cc.emit(kInsts[static_cast<int>(operation)], to.s4(), from.s4());
  }
  void op(VecBinary operation, Vec dst, Vec a, Vec b) override {
    if (operation == VecBinary::min || operation == VecBinary::max) return choose(operation, dst, a, b);
    constexpr InstId kInsts[] = {Inst::kIdFadd_v,
                                 Inst::kIdFsub_v,
                                 Inst::kIdFmul_v,
                                 Inst::kIdFdiv_v,
                                 0,
                                 0,
                                 Inst::kIdAdd_v,
                                 Inst::kIdSub_v,
                                 Inst::kIdMul_v,
                                 Inst::kIdSmin_v,
                                 Inst::kIdSmax_v,
                                 Inst::kIdAnd_v,
                                 Inst::kIdOrr_v,
                                 Inst::kIdEor_v,
                                 Inst::kIdBic_v};
    const InstId inst = kInsts[static_cast<int>(operation)];
    const a64::Vec x = in(a), y = in(b), to = out(dst);
    if (operation >= VecBinary::and_)
      cc.emit(inst, to.b16(), x.b16(), y.b16());
    else
      cc.emit(inst, to.s4(), x.s4(), y.s4());
  }
  void madd(Vec dst, Vec a, Vec b, Vec c) override { accumulate(Inst::kIdFmla_v, dst, a, b, c); }
  void nmadd(Vec dst, Vec a, Vec b, Vec c) override { accumulate(Inst::kIdFmls_v, dst, a, b, c); }
  void dot_i16(Vec dst, Vec a, Vec b, Vec c) override {
    const a64::Vec x = in(a), y = in(b), low = cc.newVecQ(), high = cc.newVecQ();
    cc.smull(low.s4(), x.h4(), y.h4());
    cc.smull2(high.s4(), x.h8(), y.h8());
    cc.addp(low.s4(), low.s4(), high.s4());
    const a64::Vec from = in(c);
    cc.add(out(dst).s4(), from.s4(), low.s4());
  }
  void shift_left(Vec dst, Vec a, int bits) override {
    const a64::Vec from = in(a);
    cc.shl(out(dst).s4(), from.s4(), Imm(bits));
  }
  void shift_right(Vec dst, Vec a, int bits) override {
    const a64::Vec from = in(a);
    if (bits == 0) return void(cc.mov(out(dst).b16(), from.b16()));
    cc.sshr(out(dst).s4(), from.s4(), Imm(bits));
  }
  void compare(Vec dst, Lane lane, Compare cmp, Vec a, Vec b) override {
    if (cmp == Compare::lt || cmp == Compare::le) return compare(dst, lane, turned(cmp), b, a);
    const a64::Vec x = in(a), y = in(b), to = out(dst);
    constexpr InstId kFloat[] = {Inst::kIdFcmeq_v, Inst::kIdFcmeq_v, 0, 0, Inst::kIdFcmgt_v, Inst::kIdFcmge_v};
    constexpr InstId kInt[] = {Inst::kIdCmeq_v, Inst::kIdCmeq_v, 0, 0, Inst::kIdCmgt_v, Inst::kIdCmge_v};
    cc.emit((lane == Lane::f32 ? kFloat : kInt)[static_cast<int>(cmp)], to.s4(), x.s4(), y.s4());
    if (cmp == Compare::ne) cc.mvn(to.b16(), to.b16());
  }
  void select(Vec dst, Vec mask, Vec a, Vec b) override {
    const a64::Vec m = in(mask), x = in(a), y = in(b), to = out(dst);
    if (dst.id == a.id) return void(cc.bif(to.b16(), y.b16(), m.b16()));
    if (dst.id == b.id) return void(cc.bit(to.b16(), x.b16(), m.b16()));
    if (dst.id != mask.id) cc.mov(to.b16(), m.b16());
    cc.bsl(to.b16(), x.b16(), y.b16());
  }
  void rotate(Vec dst, Vec a, int lanes) override {
    const a64::Vec from = in(a);
    cc.ext(out(dst).b16(), from.b16(), from.b16(), Imm(4 * (lanes & 3)));
  }
  void any(Int dst, Vec mask) override {
    const a64::Vec from = in(mask), most = cc.newVecQ();
    cc.umaxv(most.s(), from.s4());
    cc.mov(reg(dst).w(), most.s(0));
  }

  // -- atomics
  void atomic_add(Int old, Mem word, Arg v) override {
    const a64::Gp at = address_of(word), by = value(v), before = cc.newInt64(), after = cc.newInt64(),
                  failed = cc.newInt64();
    const asmjit::Label again = cc.newLabel();
    cc.bind(again);
    cc.ldaxr(before.w(), a64::ptr(at));
    cc.add(after.w(), before.w(), by.w());
    cc.stlxr(failed.w(), after.w(), a64::ptr(at));
    cc.cbnz(failed.w(), again);
    cc.sxtw(reg(old), before.w());
  }
  void atomic_load(Int dst, Mem word) override {
    const a64::Gp low = cc.newInt64();
    cc.ldar(low.w(), a64::ptr(address_of(word)));
    cc.sxtw(reg(dst), low.w());
  }
  void atomic_store(Mem word, Arg v) override {
    const a64::Gp from = value(v);
    cc.emit(Inst::kIdStlr, from.w(), a64::ptr(address_of(word)));  // asmjit's stlr() is another instruction
  }
  void pause() override { cc.yield(); }

 protected:
  void prepare(asmjit::FuncFrame&, bool) override {}
  a64::Vec new_vec() override { return cc.newVecQ(); }
  void call_label(asmjit::InvokeNode* node) override { node->setId(Inst::kIdBl); }

 private:
  /// If the instruction cannot take the offset of an access of `bytes`, a register takes the sum.
  a64::Mem mem(Mem m, int64_t bytes) {
    if (m.offset % bytes == 0 && is_imm12(m.offset / bytes))
      return a64::ptr(reg(m.base), static_cast<int32_t>(m.offset));
    return a64::ptr(address_of(m));
  }
  a64::Gp address_of(Mem m) {
    if (m.offset == 0) return reg(m.base);
    const a64::Gp at = cc.newInt64();
    sum(at, reg(m.base), m.offset, 1);
    return at;
  }
  static Mem after(Mem m, int64_t bytes) { return {m.base, m.offset + bytes}; }

  /// dst = a ± b
  void sum(const a64::Gp& dst, const a64::Gp& a, const Arg& b, int sign) {
    if (b.is_imm() && is_imm12(sign * b.imm)) return void(cc.add(dst, a, Imm(sign * b.imm)));
    if (b.is_imm() && is_imm12(-sign * b.imm)) return void(cc.sub(dst, a, Imm(-sign * b.imm)));
    const a64::Gp other = value(b);
    cc.emit(sign > 0 ? Inst::kIdAdd : Inst::kIdSub, dst, a, other);
  }
  void jump(Int a, Compare cmp, const Arg& b, const asmjit::Label& to) {
    if (b.is_imm() && is_imm12(b.imm))
      cc.cmp(reg(a), Imm(b.imm));
    else
      cc.cmp(reg(a), value(b));
    cc.b(condition(cmp), to);
  }

  bool is_scalar(int id) const { return std::find(scalar_.begin(), scalar_.end(), id) != scalar_.end(); }
  a64::Vec in(Vec v) {
    if (is_scalar(v.id)) {
      scalar_.erase(std::remove(scalar_.begin(), scalar_.end(), v.id), scalar_.end());
      cc.dup(reg(v).s4(), reg(v).s(0));
    }
    return reg(v);
  }
  a64::Vec out(Vec v) {
    scalar_.erase(std::remove(scalar_.begin(), scalar_.end(), v.id), scalar_.end());
    return reg(v);
  }
  /// Where control flow joins, every vector must hold all its lanes.
  void settle() {
    for (int id : scalar_) cc.dup(reg(Vec{id}).s4(), reg(Vec{id}).s(0));
    scalar_.clear();
  }

  /// dst = c ± a·b
  void accumulate(InstId inst, Vec dst, Vec a, Vec b, Vec c) {
    if (is_scalar(a.id)) std::swap(a, b);
    if (is_scalar(a.id)) in(a);
    const bool by_element = is_scalar(b.id) && b.id != dst.id && b.id != c.id;
    const a64::Vec x = in(a), y = by_element ? reg(b) : in(b), from = in(c), to = out(dst);
    a64::Vec sum = to;
    if (dst.id != c.id) {
      if (dst.id == a.id || dst.id == b.id) sum = new_vec();
      cc.mov(sum.b16(), from.b16());
    }
    if (by_element)
      cc.emit(inst, sum.s4(), x.s4(), y.s(0));
    else
      cc.emit(inst, sum.s4(), x.s4(), y.s4());
    if (sum.id() != to.id()) cc.mov(to.b16(), sum.b16());
  }
  /// fmin and fmax would pass on a NaN of either operand.
  void choose(VecBinary operation, Vec dst, Vec a, Vec b) {
    const a64::Vec x = in(a), y = in(b), to = out(dst), mask = new_vec();
    const bool min = operation == VecBinary::min;
    cc.fcmgt(mask.s4(), (min ? x : y).s4(), (min ? y : x).s4());  // where b is taken
    if (dst.id == a.id) return void(cc.bit(to.b16(), y.b16(), mask.b16()));
    if (dst.id == b.id) return void(cc.bif(to.b16(), x.b16(), mask.b16()));
    cc.mov(to.b16(), x.b16());
    cc.bit(to.b16(), y.b16(), mask.b16());
  }

  void load_words(const a64::Vec& v, Mem src, int lanes) {
    if (lanes == 4) return void(cc.ldr(v.q(), mem(src, 16)));
    if (lanes == 1) return void(cc.ldr(v.s(), mem(src, 4)));
    cc.ldr(v.d(), mem(src, 8));
    if (lanes == 3) cc.ld1(v.s(2), a64::ptr(address_of(after(src, 8))));
  }
  void store_words(Mem dst, const a64::Vec& v, int lanes) {
    if (lanes == 4) return void(cc.str(v.q(), mem(dst, 16)));
    if (lanes == 1) return void(cc.str(v.s(), mem(dst, 4)));
    cc.str(v.d(), mem(dst, 8));
    if (lanes == 3) cc.st1(v.s(2), a64::ptr(address_of(after(dst, 8))));
  }
  /// 64-bit elements: two fill a register.
  a64::Vec load_pair(Mem src, int lanes) {
    const a64::Vec v = new_vec();
    if (lanes >= 2)
      cc.ldr(v.q(), mem(src, 16));
    else
      cc.ldr(v.d(), mem(src, 8));
    return v;
  }
  void load_wide(const a64::Vec& v, Mem src, int lanes) {
    const a64::Vec low = load_pair(src, lanes);
    if (lanes <= 2) return void(cc.xtn(v.s2(), low.d2()));
    cc.uzp1(v.s4(), low.s4(), load_pair(after(src, 16), lanes - 2).s4());
  }
  void store_wide(Mem dst, const a64::Vec& v, int lanes) {
    const a64::Vec wide = new_vec();
    for (int done = 0; done < lanes; done += 2, dst = after(dst, 16)) {
      if (done == 0)
        cc.sxtl(wide.d2(), v.s2());
      else
        cc.sxtl2(wide.d2(), v.s4());
      if (lanes - done >= 2)
        cc.str(wide.q(), mem(dst, 16));
      else
        cc.str(wide.d(), mem(dst, 8));
    }
  }
  void load_shorts(const a64::Vec& v, Mem src, DType type, int lanes) {
    if (lanes == 4)
      cc.ldr(v.d(), mem(src, 8));
    else if (lanes == 1)
      cc.ldr(v.h(), mem(src, 2));
    else
      cc.ldr(v.s(), mem(src, 4));
    if (lanes == 3) cc.ld1(v.h(2), a64::ptr(address_of(after(src, 4))));
    cc.emit(is_signed(type) ? Inst::kIdSxtl_v : Inst::kIdUxtl_v, v.s4(), v.h4());
  }
  void store_shorts(Mem dst, const a64::Vec& v, int lanes) {
    const a64::Vec shorts = new_vec();
    cc.xtn(shorts.h4(), v.s4());
    if (lanes == 4) return void(cc.str(shorts.d(), mem(dst, 8)));
    if (lanes == 1) return void(cc.str(shorts.h(), mem(dst, 2)));
    cc.str(shorts.s(), mem(dst, 4));
    if (lanes == 3) cc.st1(shorts.h(2), a64::ptr(address_of(after(dst, 4))));
  }
  void load_bytes(const a64::Vec& v, Mem src, DType type, int lanes) {
    if (lanes == 4)
      cc.ldr(v.s(), mem(src, 4));
    else if (lanes == 1)
      cc.ldr(v.b(), mem(src, 1));
    else
      cc.ldr(v.h(), mem(src, 2));
    if (lanes == 3) cc.ld1(v.b(2), a64::ptr(address_of(after(src, 2))));
    const bool is_signed = type == DType::i8;
    cc.emit(is_signed ? Inst::kIdSxtl_v : Inst::kIdUxtl_v, v.h8(), v.b8());
    cc.emit(is_signed ? Inst::kIdSxtl_v : Inst::kIdUxtl_v, v.s4(), v.h4());
    if (type == DType::boolean) cc.cmtst(v.s4(), v.s4(), v.s4());
  }
  void store_bytes(Mem dst, const a64::Vec& v, DType type, int lanes) {
    const a64::Vec bytes = new_vec();
    cc.xtn(bytes.h4(), v.s4());
    cc.xtn(bytes.b8(), bytes.h8());
    if (type == DType::boolean) {
      const a64::Vec one = new_vec();
      cc.movi(one.b16(), Imm(1));
      cc.and_(bytes.b16(), bytes.b16(), one.b16());
    }
    if (lanes == 4) return void(cc.str(bytes.s(), mem(dst, 4)));
    if (lanes == 1) return void(cc.str(bytes.b(), mem(dst, 1)));
    cc.str(bytes.h(), mem(dst, 2));
    if (lanes == 3) cc.st1(bytes.b(2), a64::ptr(address_of(after(dst, 2))));
  }

  std::vector<int> scalar_;  ///< vectors whose first lane stands for all of them
};

}  // namespace

std::unique_ptr<ModuleEmitter> make_neon_emitter(const Target& target) { return std::make_unique<NeonEmitter>(target); }

}  // namespace kiln::native
