// AVX-512 (F, BW, DQ, VL): vectors of 16 lanes; parts of vectors and choices go through mask registers.
#include <algorithm>

#include "jit/backends/native_x86.h"

namespace kiln::native {
namespace {

class Avx512Emitter final : public X86Emitter {
 public:
  using Emitter::load;
  using Emitter::store;
  using X86Emitter::X86Emitter;

  void load(Vec dst, Mem src, DType type, int lanes) override {
    const x86::Zmm v = reg(dst).zmm();
    if (size_of(type) == 4) return load_words(v, src, lanes);
    if (size_of(type) == 8) return load_wide(v, src, lanes);
    if (size_of(type) == 2) return load_shorts(v, src, type, lanes);
    load_bytes(v, src, type, lanes);
  }
  void store(Mem dst, Vec src, DType type, int lanes) override {
    const x86::Zmm v = reg(src).zmm();
    if (size_of(type) == 4) return store_words(dst, v, lanes);
    if (size_of(type) == 8) return store_wide(dst, v, lanes);
    if (size_of(type) == 2) return store_shorts(dst, v, lanes);
    store_bytes(dst, v, type, lanes);
  }
  void load_lane(Vec dst, int lane, Mem src) override { cc.k(mask_of(1u << lane)).vbroadcastss(reg(dst), mem(src)); }
  void store_lane(Mem dst, Vec src, int lane) override {
    x86::Xmm part = reg(src).xmm();
    if (lane >= 4) {
      part = cc.newXmm();
      cc.vextractf32x4(part, reg(src), lane / 4);
    }
    if (lane % 4 == 0) return void(cc.vmovss(mem(dst), part));
    cc.vextractps(mem(dst, 4), part, lane % 4);
  }

  void compare(Vec dst, Lane lane, Compare cmp, Vec a, Vec b) override {
    constexpr int kSigned[] = {0, 4, 1, 2, 6, 5};
    const x86::KReg k = cc.newKw();
    if (lane == Lane::f32)
      cc.vcmpps(k, reg(a), reg(b), f32_predicate(cmp));
    else
      cc.vpcmpd(k, reg(a), reg(b), kSigned[static_cast<int>(cmp)]);
    cc.vpmovm2d(reg(dst), k);
  }
  /// A bitwise operation of three operands. The first is also the result. The table has the value for each combination
  /// of bits (first, second, third).
  void select(Vec dst, Vec mask, Vec a, Vec b) override {
    if (dst.id == a.id) return void(cc.vpternlogd(reg(a), reg(mask), reg(b), 0xe2));
    if (dst.id == b.id) return void(cc.vpternlogd(reg(b), reg(mask), reg(a), 0xb8));
    if (dst.id != mask.id) set(dst, mask);
    cc.vpternlogd(reg(dst), reg(a), reg(b), 0xca);
  }
  void rotate(Vec dst, Vec a, int lanes) override { cc.valignd(reg(dst), reg(a), reg(a), lanes & 15); }
  void any(Int dst, Vec mask) override {
    const x86::KReg k = cc.newKw();
    cc.vpmovd2m(k, reg(mask));
    cc.kmovw(reg(dst).r32(), k);
  }

 protected:
  void prepare(asmjit::FuncFrame& frame, bool exported) override {
    frame.setAvxEnabled();
    frame.setAvx512Enabled();
    if (exported) frame.setAvxCleanup();
  }
  x86::Vec new_vec() override { return cc.newZmm(); }
  void round_to(const x86::Vec& dst, const x86::Vec& a, int mode) override { cc.vrndscaleps(dst, a, mode); }
  void f32_to_i32(const x86::Vec& dst, const x86::Vec& a) override {
    const x86::KReg number = cc.newKw(), large = cc.newKw();
    const x86::Zmm whole = cc.newZmm();
    cc.vcmpps(number, a, a, f32_predicate(Compare::eq));
    cc.vcmpps(large, a, lanes_of(0x4f000000u), f32_predicate(Compare::ge));  // 2^31
    cc.k(number).z().vcvttps2dq(whole, a);
    cc.k(large).vpblendmd(dst, whole, lanes_of(0x7fffffffu));
  }

 private:
  x86::KReg mask_of(uint32_t bits) {
    const x86::Gp word = cc.newUInt32();
    const x86::KReg k = cc.newKw();
    cc.mov(word, bits);
    cc.kmovw(k, word);
    return k;
  }
  x86::KReg first(int lanes) { return mask_of((1u << lanes) - 1); }

  void load_words(const x86::Zmm& dst, Mem src, int lanes) {
    if (lanes == 16) return void(cc.vmovups(dst, mem(src)));
    if (lanes == 8) return void(cc.vmovups(dst.ymm(), mem(src)));
    if (lanes == 4) return void(cc.vmovups(dst.xmm(), mem(src)));
    if (lanes == 2) return void(cc.vmovsd(dst.xmm(), mem(src)));
    if (lanes == 1) return void(cc.vmovss(dst.xmm(), mem(src)));
    cc.k(first(lanes)).z().vmovups(dst, mem(src));
  }
  void store_words(Mem dst, const x86::Zmm& v, int lanes) {
    if (lanes == 16) return void(cc.vmovups(mem(dst), v));
    if (lanes == 8) return void(cc.vmovups(mem(dst), v.ymm()));
    if (lanes == 4) return void(cc.vmovups(mem(dst), v.xmm()));
    if (lanes == 2) return void(cc.vmovlps(mem(dst), v.xmm()));
    if (lanes == 1) return void(cc.vmovss(mem(dst), v.xmm()));
    cc.k(first(lanes)).vmovups(mem(dst), v);
  }

  /// 64-bit elements: eight fill a register.
  void load_wide(const x86::Zmm& dst, Mem src, int lanes) {
    const x86::Ymm low = load_half(src, std::min(lanes, 8));
    if (lanes <= 8) return void(cc.vmovaps(dst.ymm(), low));
    cc.vinserti64x4(dst, low.zmm(), load_half({src.base, src.offset + 64}, lanes - 8), 1);
  }
  x86::Ymm load_half(Mem src, int lanes) {
    const x86::Zmm wide = cc.newZmm();
    if (lanes == 8)
      cc.vmovups(wide, mem(src));
    else
      cc.k(first(lanes)).z().vmovdqu64(wide, mem(src));
    cc.vpmovqd(wide.ymm(), wide);
    return wide.ymm();
  }
  void store_wide(Mem dst, const x86::Zmm& v, int lanes) {
    for (int h = 0; 8 * h < lanes; ++h) {
      const int count = std::min(lanes - 8 * h, 8);
      const x86::Zmm wide = cc.newZmm();
      const Mem at{dst.base, dst.offset + 64 * h};
      if (h) cc.vextracti64x4(wide.ymm(), v, 1);
      cc.vpmovsxdq(wide, h ? wide.ymm() : v.ymm());
      if (count == 8)
        cc.vmovups(mem(at), wide);
      else
        cc.k(first(count)).vmovdqu64(mem(at), wide);
    }
  }

  void load_shorts(const x86::Zmm& dst, Mem src, DType type, int lanes) {
    const auto widen = is_signed(type) ? x86::Inst::kIdVpmovsxwd : x86::Inst::kIdVpmovzxwd;
    if (lanes == 16) return void(cc.emit(widen, dst, mem(src)));
    const x86::Ymm shorts = cc.newYmm();
    cc.k(first(lanes)).z().vmovdqu16(shorts, mem(src));
    cc.emit(widen, dst, shorts);
  }
  void store_shorts(Mem dst, const x86::Zmm& v, int lanes) {
    const x86::Ymm shorts = cc.newYmm();
    cc.vpmovdw(shorts, v);
    if (lanes == 16)
      cc.vmovups(mem(dst), shorts);
    else
      cc.k(first(lanes)).vmovdqu16(mem(dst), shorts);
  }

  void load_bytes(const x86::Zmm& dst, Mem src, DType type, int lanes) {
    const auto widen = type == DType::i8 ? x86::Inst::kIdVpmovsxbd : x86::Inst::kIdVpmovzxbd;
    if (lanes == 16) {
      cc.emit(widen, dst, mem(src));
    } else {
      const x86::Xmm bytes = cc.newXmm();
      cc.k(first(lanes)).z().vmovdqu8(bytes, mem(src));
      cc.emit(widen, dst, bytes);
    }
    if (type != DType::boolean) return;
    const x86::KReg k = cc.newKw();
    cc.vptestmd(k, dst, dst);
    cc.vpmovm2d(dst, k);
  }
  void store_bytes(Mem dst, const x86::Zmm& v, DType type, int lanes) {
    const x86::Zmm words = cc.newZmm();
    if (type == DType::boolean)
      cc.vandps(words, v, lanes_of(1));
    else
      cc.vmovaps(words, v);
    cc.vpmovdb(words.xmm(), words);
    if (lanes == 16)
      cc.vmovups(mem(dst), words.xmm());
    else
      cc.k(first(lanes)).vmovdqu8(mem(dst), words.xmm());
  }
};

}  // namespace

std::unique_ptr<ModuleEmitter> make_avx512_emitter(const Target& target) {
  return std::make_unique<Avx512Emitter>(target);
}

}  // namespace kiln::native
