// AVX2: vectors of 8 lanes; masks are vectors.
#include <algorithm>

#include "jit/backends/native_x86.h"

namespace kiln::native {
namespace {

class Avx2Emitter final : public X86Emitter {
 public:
  using Emitter::load;
  using Emitter::store;
  using X86Emitter::X86Emitter;

  void load(Vec dst, Mem src, DType type, int lanes) override {
    if (size_of(type) == 4) return load_words(reg(dst).ymm(), src, lanes);
    if (size_of(type) == 8) return load_wide(reg(dst).ymm(), src, lanes);
    if (size_of(type) == 2) return load_shorts(reg(dst).ymm(), src, type, lanes);
    load_bytes(reg(dst).ymm(), src, type, lanes);
  }
  void store(Mem dst, Vec src, DType type, int lanes) override {
    const x86::Ymm v = reg(src).ymm();
    if (size_of(type) == 4) return store_words(dst, v, lanes);
    if (size_of(type) == 8) return store_wide(dst, v, lanes);
    if (size_of(type) == 2) return store_shorts(dst, v, lanes);
    store_bytes(dst, v, type, lanes);
  }
  void load_lane(Vec dst, int lane, Mem src) override {
    const x86::Ymm all = cc.newYmm();
    cc.vbroadcastss(all, mem(src));
    cc.vblendps(reg(dst), reg(dst), all, 1 << lane);
  }
  void store_lane(Mem dst, Vec src, int lane) override {
    const x86::Xmm half = half_of(reg(src).ymm(), lane / 4);
    if (lane % 4 == 0) return void(cc.vmovss(mem(dst), half));
    cc.vextractps(mem(dst, 4), half, lane % 4);
  }

  void compare(Vec to, Lane lane, Compare cmp, Vec left, Vec right) override {
    const x86::Vec dst = reg(to), a = reg(left), b = reg(right);
    if (lane == Lane::f32) return void(cc.vcmpps(dst, a, b, f32_predicate(cmp)));
    if (cmp == Compare::eq || cmp == Compare::ne)
      cc.vpcmpeqd(dst, a, b);
    else if (cmp == Compare::gt || cmp == Compare::le)
      cc.vpcmpgtd(dst, a, b);
    else
      cc.vpcmpgtd(dst, b, a);
    if (cmp == Compare::ne || cmp == Compare::le || cmp == Compare::ge) cc.vxorps(dst, dst, lanes_of(~0u));
  }
  void select(Vec dst, Vec mask, Vec a, Vec b) override { cc.vblendvps(reg(dst), reg(b), reg(a), reg(mask)); }
  void rotate(Vec dst, Vec a, int lanes) override {
    if (lanes == 4) return void(cc.vperm2f128(reg(dst), reg(a), reg(a), 1));
    int32_t order[8];
    for (int i = 0; i < 8; ++i) order[i] = (i + lanes) & 7;
    const x86::Ymm index = load_constant(order);
    cc.vpermps(reg(dst), index, reg(a));
  }
  void any(Int dst, Vec mask) override { cc.vmovmskps(reg(dst), reg(mask)); }

 protected:
  void prepare(asmjit::FuncFrame& frame, bool exported) override {
    frame.setAvxEnabled();
    if (exported) frame.setAvxCleanup();
  }
  x86::Vec new_vec() override { return cc.newYmm(); }
  void round_to(const x86::Vec& dst, const x86::Vec& a, int mode) override { cc.vroundps(dst, a, mode); }
  /// cvttps gives 0x80000000 wherever it cannot: the largest integer is its complement, and a NaN gives 0.
  void f32_to_i32(const x86::Vec& dst, const x86::Vec& a) override {
    const x86::Ymm whole = cc.newYmm(), mask = cc.newYmm();
    cc.vcvttps2dq(whole, a);
    cc.vcmpps(mask, a, lanes_of(0x4f000000u), f32_predicate(Compare::ge));  // 2^31
    cc.vxorps(whole, whole, mask);
    cc.vcmpps(mask, a, a, f32_predicate(Compare::eq));
    cc.vandps(dst, whole, mask);
  }

 private:
  template <class T>
  x86::Ymm load_constant(const T& data) {
    static_assert(sizeof data == 32, "a whole vector");
    const x86::Ymm v = cc.newYmm();
    cc.vmovups(v, cc.newConst(asmjit::ConstPoolScope::kGlobal, &data, sizeof data));
    return v;
  }
  x86::Xmm half_of(const x86::Ymm& v, int half) {
    if (half == 0) return v.xmm();
    const x86::Xmm high = cc.newXmm();
    cc.vextractf128(high, v, 1);
    return high;
  }
  static Mem after(Mem m, int64_t bytes) { return {m.base, m.offset + bytes}; }

  void load_words(const x86::Ymm& dst, Mem src, int lanes) {
    if (lanes == 8) return void(cc.vmovups(dst, mem(src)));
    if (lanes == 4) return void(cc.vmovups(dst.xmm(), mem(src)));
    if (lanes == 2) return void(cc.vmovsd(dst.xmm(), mem(src)));
    if (lanes == 1) return void(cc.vmovss(dst.xmm(), mem(src)));
    int32_t mask[8];
    for (int i = 0; i < 8; ++i) mask[i] = i < lanes ? -1 : 0;
    cc.vmaskmovps(dst, load_constant(mask), mem(src));
  }
  void store_words(Mem dst, const x86::Ymm& v, int lanes) {
    if (lanes == 8) return void(cc.vmovups(mem(dst), v));
    if (lanes >= 4) cc.vmovups(mem(dst), v.xmm());
    const x86::Xmm rest = lanes & 3 ? half_of(v, lanes / 4) : x86::Xmm();
    dst = after(dst, lanes & 4 ? 16 : 0);
    if (lanes & 2) cc.vmovlps(mem(dst), rest);
    if ((lanes & 3) == 3) cc.vextractps(mem(after(dst, 8), 4), rest, 2);
    if ((lanes & 3) == 1) cc.vmovss(mem(dst), rest);
  }

  /// 64-bit elements: four fill a register.
  void load_wide(const x86::Ymm& dst, Mem src, int lanes) {
    x86::Ymm halves[2];
    for (int h = 0; h < 2; ++h) {
      halves[h] = cc.newYmm();
      const int count = lanes - 4 * h;
      int64_t mask[4];
      for (int i = 0; i < 4; ++i) mask[i] = i < count ? -1 : 0;
      if (count <= 0)
        zero(cc, halves[h]);
      else if (count >= 4)
        cc.vmovdqu(halves[h], mem(after(src, 32 * h)));
      else
        cc.vpmaskmovq(halves[h], load_constant(mask), mem(after(src, 32 * h)));
    }
    cc.vshufps(dst, halves[0], halves[1], 0x88);  // low words: 0 1 4 5 | 2 3 6 7
    cc.vpermq(dst, dst, 0xd8);
  }
  void store_wide(Mem dst, const x86::Ymm& v, int lanes) {
    for (int h = 0; 4 * h < lanes; ++h, dst = after(dst, 32)) {
      const int count = std::min(lanes - 4 * h, 4);
      const x86::Ymm wide = cc.newYmm();
      cc.vpmovsxdq(wide, half_of(v, h));
      if (count == 4) {
        cc.vmovups(mem(dst), wide);
        continue;
      }
      if (count >= 2) cc.vmovups(mem(dst), wide.xmm());
      if (count & 1) cc.vmovlps(mem(after(dst, count == 3 ? 16 : 0)), half_of(wide, count / 2));
    }
  }

  void load_shorts(const x86::Ymm& dst, Mem src, DType type, int lanes) {
    const auto widen = is_signed(type) ? x86::Inst::kIdVpmovsxwd : x86::Inst::kIdVpmovzxwd;
    if (lanes == 8) return void(cc.emit(widen, dst, mem(src)));
    const x86::Xmm shorts = cc.newXmm();
    if (lanes & 4)
      cc.vmovq(shorts, mem(src));
    else
      zero(cc, shorts);
    for (int i = lanes & 4; i < lanes; ++i) cc.vpinsrw(shorts, shorts, mem(after(src, 2 * i), 2), i);
    cc.emit(widen, dst, shorts);
  }
  void store_shorts(Mem dst, const x86::Ymm& v, int lanes) {
    const x86::Ymm packed = cc.newYmm();
    int8_t low[32];
    for (int i = 0; i < 32; ++i) low[i] = static_cast<int8_t>(i % 16 < 8 ? i % 16 / 2 * 4 + i % 2 : -1);
    cc.vpshufb(packed, v, cc.newConst(asmjit::ConstPoolScope::kGlobal, low, sizeof low));
    const x86::Xmm shorts = cc.newXmm();
    cc.vpunpcklqdq(shorts, packed.xmm(), half_of(packed, 1));
    if (lanes == 8) return void(cc.vmovups(mem(dst), shorts));
    if (lanes & 4) cc.vmovlps(mem(dst), shorts);
    for (int i = lanes & 4; i < lanes; ++i) cc.vpextrw(mem(after(dst, 2 * i), 2), shorts, i);
  }

  void load_bytes(const x86::Ymm& dst, Mem src, DType type, int lanes) {
    const auto widen = type == DType::i8 ? x86::Inst::kIdVpmovsxbd : x86::Inst::kIdVpmovzxbd;
    if (lanes == 8) {
      cc.emit(widen, dst, mem(src));
    } else {
      const x86::Xmm bytes = cc.newXmm();
      if (lanes & 4)
        cc.vmovd(bytes, mem(src));
      else
        zero(cc, bytes);
      int at = lanes & 4;
      if (lanes & 2) cc.vpinsrw(bytes, bytes, mem(after(src, at), 2), at / 2);
      at += lanes & 2;
      if (lanes & 1) cc.vpinsrb(bytes, bytes, mem(after(src, at), 1), at);
      cc.emit(widen, dst, bytes);
    }
    if (type != DType::boolean) return;
    const x86::Ymm nothing = cc.newYmm();
    zero(cc, nothing);
    cc.vpcmpgtd(dst, dst, nothing);
  }
  void store_bytes(Mem dst, const x86::Ymm& v, DType type, int lanes) {
    const x86::Ymm packed = cc.newYmm();
    int8_t low[32];
    for (int i = 0; i < 32; ++i) low[i] = static_cast<int8_t>(i % 16 < 4 ? 4 * (i % 16) : -1);
    if (type == DType::boolean) {
      cc.vandps(packed, v, lanes_of(1));
      cc.vpshufb(packed, packed, cc.newConst(asmjit::ConstPoolScope::kGlobal, low, sizeof low));
    } else {
      cc.vpshufb(packed, v, cc.newConst(asmjit::ConstPoolScope::kGlobal, low, sizeof low));
    }
    const x86::Xmm bytes = cc.newXmm();
    cc.vpunpckldq(bytes, packed.xmm(), half_of(packed, 1));
    if (lanes == 8) return void(cc.vmovlps(mem(dst), bytes));
    if (lanes & 4) cc.vmovd(mem(dst), bytes);
    int at = lanes & 4;
    if (lanes & 2) cc.vpextrw(mem(after(dst, at), 2), bytes, at / 2);
    at += lanes & 2;
    if (lanes & 1) cc.vpextrb(mem(after(dst, at), 1), bytes, at);
  }
};

}  // namespace

std::unique_ptr<ModuleEmitter> make_avx2_emitter(const Target& target) { return std::make_unique<Avx2Emitter>(target); }

}  // namespace kiln::native
