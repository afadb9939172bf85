// x86-64: integers, control flow, atomics, and the vector operations that are the same in AVX2 and AVX-512.
// native_avx2.cpp and native_avx512.cpp have those that differ: moving parts of vectors, comparisons and selections.
#pragma once

#include <asmjit/x86.h>

#include "jit/backends/native_common.h"

namespace kiln::native {

namespace x86 = asmjit::x86;

std::unique_ptr<ModuleEmitter> make_avx2_emitter(const Target& target);
std::unique_ptr<ModuleEmitter> make_avx512_emitter(const Target& target);

class X86Emitter : public NativeEmitter<x86::Compiler, x86::Gp, x86::Vec> {
 public:
  explicit X86Emitter(const Target& target) : NativeEmitter(target, asmjit::Arch::kX64) {}
  using Emitter::load;
  using Emitter::store;

  void set(Int dst, Arg src) override;
  void op(IntOp op, Int dst, Arg a, Arg b) override;
  void load_int(Int dst, Mem src, DType type) override;
  void store_int(Mem dst, Int src, DType type) override;

  void do_while(FunctionRef<void()> body, Int a, Compare cmp, Arg b) override;
  void if_(Int a, Compare cmp, Arg b, FunctionRef<void()> then, FunctionRef<void()> otherwise) override;

  void set(Vec dst, Vec src) override { cc.vmovaps(reg(dst), reg(src)); }
  void splat(Vec dst, float value) override;
  void splat_i32(Vec dst, int32_t value) override;
  void splat_int(Vec dst, Int src) override;
  void splat_load(Vec dst, Mem src) override { cc.vbroadcastss(reg(dst), mem(src)); }
  void op(VecUnary op, Vec dst, Vec a) override;
  void op(VecBinary op, Vec dst, Vec a, Vec b) override;
  void madd(Vec dst, Vec a, Vec b, Vec c) override;
  void nmadd(Vec dst, Vec a, Vec b, Vec c) override;
  void dot_i16(Vec dst, Vec a, Vec b, Vec c) override;
  void shift_left(Vec dst, Vec a, int bits) override { cc.vpslld(reg(dst), reg(a), bits); }
  void shift_right(Vec dst, Vec a, int bits) override { cc.vpsrad(reg(dst), reg(a), bits); }

  void atomic_add(Int old, Mem word, Arg value) override;
  void atomic_load(Int dst, Mem word) override { cc.movsxd(reg(dst), mem(word, 4)); }
  void atomic_store(Mem word, Arg value) override;
  void pause() override { cc.pause(); }

 protected:
  virtual void round_to(const x86::Vec& dst, const x86::Vec& a, int mode) = 0;
  virtual void f32_to_i32(const x86::Vec& dst, const x86::Vec& a) = 0;

  x86::Mem mem(Mem m, uint32_t size = 0);
  static void zero(x86::Compiler& cc, const x86::Vec& v) { cc.vpxor(v.xmm(), v.xmm(), v.xmm()); }
  /// Every lane the same, as a memory operand.
  x86::Mem lanes_of(uint32_t bits);
  /// An immediate predicate of vcmpps.
  static int f32_predicate(Compare cmp);

 private:
  void divide(const x86::Gp& dst, const x86::Gp& a, const Arg& b, bool remainder);
  void jump(Int a, Compare cmp, const Arg& b, const asmjit::Label& to);
  void two_operand(asmjit::InstId inst, const x86::Gp& dst, const Arg& a, const Arg& b);
};

}  // namespace kiln::native
