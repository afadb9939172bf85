#include "jit/backends/wasm.h"

#include <binaryen-c.h>

#include <cstdlib>
#include <map>
#include <utility>

namespace kiln {
namespace {

using Ref = BinaryenExpressionRef;
constexpr const char* kMemory = "0";
constexpr int64_t kPage = 1 << 16;

/// A register is a local. An expression node may be used only once, but a local may be read anywhere.
class WasmEmitter final : public ModuleEmitter {
 public:
  explicit WasmEmitter(const Target& target) : ModuleEmitter(target), module_(BinaryenModuleCreate()) {
    address_ = target.memory64 ? BinaryenTypeInt64() : BinaryenTypeInt32();
    BinaryenFeatures features = BinaryenFeatureSIMD128() | BinaryenFeatureBulkMemory() | BinaryenFeatureSignExt();
    if (target.fma) features |= BinaryenFeatureRelaxedSIMD();
    if (target.threads) features |= BinaryenFeatureAtomics();
    if (target.memory64) features |= BinaryenFeatureMemory64();
    BinaryenModuleSetFeatures(module_, features);
    // A shared memory has a maximum. It fits an import if its maximum is no larger than the module's.
    const auto maximum = target.threads ? static_cast<uint32_t>(wasm_memory_limit(target.memory64) / kPage) : ~0u;
    BinaryenSetMemory(module_, 1, maximum, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 0, target.threads,
                      target.memory64, kMemory);
    BinaryenAddMemoryImport(module_, kMemory, "env", "memory", target.threads);
  }
  ~WasmEmitter() override { BinaryenModuleDispose(module_); }

  // -- functions
  Func begin_function(const std::string& name, int params, bool exported) override {
    params_ = params;
    locals_.assign(static_cast<size_t>(params), address_);
    blocks_.assign(1, {});
    constants_.clear();
    constants_at_ = 0;
    names_.push_back(name);
    exported_.push_back(exported);
    return Func{static_cast<int>(names_.size()) - 1};
  }
  void end_function() override {
    const std::string& name = names_.back();
    make_constants();
    std::vector<BinaryenType> params(static_cast<size_t>(params_), address_);
    const BinaryenType signature = BinaryenTypeCreate(params.data(), static_cast<BinaryenIndex>(params_));
    BinaryenAddFunction(module_, name.c_str(), signature, BinaryenTypeNone(), locals_.data() + params_,
                        static_cast<BinaryenIndex>(locals_.size()) - static_cast<BinaryenIndex>(params_),
                        close_block());
    if (exported_.back()) BinaryenAddFunctionExport(module_, name.c_str(), name.c_str());
  }
  Int param(int index) override { return Int{index}; }
  void call(Func function, const std::vector<Arg>& args) override {
    std::vector<Ref> operands;
    for (const Arg& a : args) operands.push_back(value(a));
    emit(BinaryenCall(module_, names_[static_cast<size_t>(function.id)].c_str(), operands.data(),
                      static_cast<BinaryenIndex>(operands.size()), BinaryenTypeNone()));
  }
  void return_() override { emit(BinaryenReturn(module_, nullptr)); }

  // -- integers
  Int integer() override { return Int{local(address_)}; }
  void set(Int dst, Arg src) override { assign(dst.id, value(src)); }
  void op(IntOp operation, Int dst, Arg a, Arg b) override {
    if (operation == IntOp::add && b.is_imm() && b.imm == 0) return set(dst, a);
    if (operation == IntOp::mul && b.is_imm() && b.imm > 0 && (b.imm & (b.imm - 1)) == 0)
      return op(IntOp::shl, dst, a, __builtin_ctzll(static_cast<uint64_t>(b.imm)));
    if (operation == IntOp::min || operation == IntOp::max) {
      const Ref less = binary(wide() ? BinaryenLtSInt64() : BinaryenLtSInt32(), value(a), value(b));
      const bool min = operation == IntOp::min;
      return assign(dst.id, BinaryenSelect(module_, less, value(min ? a : b), value(min ? b : a), address_));
    }
    assign(dst.id, binary(int_op(operation), value(a), value(b)));
  }
  void load_int(Int dst, Mem src, DType type) override {
    src = near(src);
    const auto bytes = static_cast<uint32_t>(size_of(type));
    const bool sign = is_signed(type);
    if (wide() || bytes < 8)
      assign(dst.id, BinaryenLoad(module_, bytes, sign, offset(src), 0, address_, get(src.base.id), kMemory));
    else  // the low half: addresses and indices are 32-bit here
      assign(dst.id, BinaryenLoad(module_, 4, true, offset(src), 0, address_, get(src.base.id), kMemory));
  }
  void store_int(Mem dst, Int src, DType type) override {
    dst = near(dst);
    const auto bytes = static_cast<uint32_t>(size_of(type));
    Ref v = get(src.id);
    BinaryenType t = address_;
    if (bytes == 8 && !wide()) {
      v = BinaryenUnary(module_, BinaryenExtendSInt32(), v);
      t = BinaryenTypeInt64();
    }
    emit(BinaryenStore(module_, bytes, offset(dst), 0, get(dst.base.id), v, t, kMemory));
  }

  // -- control
  void do_while(FunctionRef<void()> body, Int a, Compare cmp, Arg b) override {
    const std::string label = "l" + std::to_string(labels_++);
    blocks_.emplace_back();
    body();
    emit(BinaryenBreak(module_, label.c_str(), binary(compare_op(cmp), get(a.id), value(b)), nullptr));
    const Ref block = close_block();
    emit(BinaryenLoop(module_, label.c_str(), block));
  }
  void if_(Int a, Compare cmp, Arg b, FunctionRef<void()> then, FunctionRef<void()> otherwise) override {
    const Ref condition = binary(compare_op(cmp), get(a.id), value(b));
    blocks_.emplace_back();
    then();
    const Ref first = close_block();
    blocks_.emplace_back();
    otherwise();
    const bool has_else = !blocks_.back().empty();
    const Ref second = close_block();
    emit(BinaryenIf(module_, condition, first, has_else ? second : nullptr));
  }

  // -- vectors
  void constants_from_here() override {
    make_constants();
    constants_.clear();
    constants_at_ = blocks_[0].size();
  }
  Vec vec() override { return Vec{local(BinaryenTypeVec128())}; }
  void set(Vec dst, Vec src) override { assign(dst.id, get_vec(src)); }
  void splat(Vec dst, float v) override {
    uint32_t bits;
    __builtin_memcpy(&bits, &v, 4);
    splat_bits(dst, bits);
  }
  void splat_i32(Vec dst, int32_t v) override { splat_bits(dst, static_cast<uint32_t>(v)); }
  void splat_int(Vec dst, Int src) override {
    Ref v = get(src.id);
    if (wide()) v = BinaryenUnary(module_, BinaryenWrapInt64(), v);
    assign(dst.id, BinaryenUnary(module_, BinaryenSplatVecI32x4(), v));
  }
  void splat_load(Vec dst, Mem src) override { assign(dst.id, simd_load(BinaryenLoad32SplatVec128(), near(src))); }
  void load(Vec dst, Mem src, DType type, int lanes) override {
    src = near(src);
    if (size_of(type) == 4) return load_words(dst, src, lanes);
    if (size_of(type) == 8) {
      assign(dst.id, constant_vec(0));
      for (int i = 0; i < lanes; ++i) load_lane(dst, i, {src.base, src.offset + 8 * i});
      return;
    }
    load_narrow(dst, src, type, lanes);
  }
  void store(Mem dst, Vec src, DType type, int lanes) override {
    dst = near(dst);
    if (size_of(type) == 4 && lanes == 4) {
      emit(BinaryenStore(module_, 16, offset(dst), 0, get(dst.base.id), get_vec(src), BinaryenTypeVec128(), kMemory));
    } else if (size_of(type) == 4) {
      if (lanes >= 2) lane_access(BinaryenStore64LaneVec128(), dst, 0, src);
      if (lanes != 2) lane_access(BinaryenStore32LaneVec128(), dst, lanes - 1, src, 4 * (lanes - 1));
    } else {
      for (int i = 0; i < lanes; ++i) store_narrow(dst, src, type, i);
    }
  }
  void load_lane(Vec dst, int lane, Mem src) override {
    src = near(src);
    assign(dst.id, BinaryenSIMDLoadStoreLane(module_, BinaryenLoad32LaneVec128(), offset(src), 1,
                                             static_cast<uint8_t>(lane), get(src.base.id), get_vec(dst), kMemory));
  }
  void store_lane(Mem dst, Vec src, int lane) override {
    lane_access(BinaryenStore32LaneVec128(), near(dst), lane, src);
  }

  void op(VecUnary operation, Vec dst, Vec a) override {
    assign(dst.id, BinaryenUnary(module_, unary_op(operation), get_vec(a)));
  }
  void op(VecBinary operation, Vec dst, Vec a, Vec b) override {
    assign(dst.id, binary(binary_op(operation), get_vec(a), get_vec(b)));
  }
  void madd(Vec dst, Vec a, Vec b, Vec c) override {
    if (target_.fma)
      assign(dst.id, BinaryenSIMDTernary(module_, BinaryenRelaxedMaddVecF32x4(), get_vec(a), get_vec(b), get_vec(c)));
    else
      assign(dst.id, binary(BinaryenAddVecF32x4(), get_vec(c), binary(BinaryenMulVecF32x4(), get_vec(a), get_vec(b))));
  }
  void nmadd(Vec dst, Vec a, Vec b, Vec c) override {
    if (target_.fma)
      assign(dst.id, BinaryenSIMDTernary(module_, BinaryenRelaxedNmaddVecF32x4(), get_vec(a), get_vec(b), get_vec(c)));
    else
      assign(dst.id, binary(BinaryenSubVecF32x4(), get_vec(c), binary(BinaryenMulVecF32x4(), get_vec(a), get_vec(b))));
  }
  void dot_i16(Vec dst, Vec a, Vec b, Vec c) override {
    const Ref products = binary(BinaryenDotSVecI16x8ToVecI32x4(), get_vec(a), get_vec(b));
    assign(dst.id, binary(BinaryenAddVecI32x4(), get_vec(c), products));
  }
  void shift_left(Vec dst, Vec a, int bits) override { shift(BinaryenShlVecI32x4(), dst, a, bits); }
  void shift_right(Vec dst, Vec a, int bits) override { shift(BinaryenShrSVecI32x4(), dst, a, bits); }
  void compare(Vec dst, Lane lane, Compare cmp, Vec a, Vec b) override {
    assign(dst.id, binary(lane == Lane::f32 ? f32_compare(cmp) : i32_compare(cmp), get_vec(a), get_vec(b)));
  }
  void select(Vec dst, Vec mask, Vec a, Vec b) override {
    assign(dst.id, BinaryenSIMDTernary(module_, BinaryenBitselectVec128(), get_vec(a), get_vec(b), get_vec(mask)));
  }
  void rotate(Vec dst, Vec a, int lanes) override {
    uint8_t mask[16];
    for (int i = 0; i < 16; ++i) mask[i] = static_cast<uint8_t>((i + 4 * lanes) & 15);
    assign(dst.id, BinaryenSIMDShuffle(module_, get_vec(a), get_vec(a), mask));
  }
  void any(Int dst, Vec mask) override {
    assign(dst.id, widened(BinaryenUnary(module_, BinaryenAnyTrueVec128(), get_vec(mask))));
  }
  void if_any(Vec mask, FunctionRef<void()> then) override {
    const bool before = std::exchange(rare_, true);
    Emitter::if_any(mask, then);
    rare_ = before;
  }

  // -- atomics
  void atomic_add(Int old, Mem word, Arg v) override {
    assign(old.id, widened(BinaryenAtomicRMW(module_, BinaryenAtomicRMWAdd(), 4, offset(word), get(word.base.id),
                                             narrowed(value(v)), BinaryenTypeInt32(), kMemory)));
  }
  void atomic_load(Int dst, Mem word) override {
    assign(dst.id,
           widened(BinaryenAtomicLoad(module_, 4, offset(word), BinaryenTypeInt32(), get(word.base.id), kMemory)));
  }
  void atomic_store(Mem word, Arg v) override {
    emit(BinaryenAtomicStore(module_, 4, offset(word), get(word.base.id), narrowed(value(v)), BinaryenTypeInt32(),
                             kMemory));
  }
  void atomic_wait(Mem word, Int expected) override {
    const Ref forever = BinaryenConst(module_, BinaryenLiteralInt64(-1));
    emit(BinaryenDrop(module_, BinaryenAtomicWait(module_, address_of(word), narrowed(get(expected.id)), forever,
                                                  BinaryenTypeInt32(), kMemory)));
  }
  void atomic_notify(Mem word) override {
    const Ref all = BinaryenConst(module_, BinaryenLiteralInt32(-1));
    emit(BinaryenDrop(module_, BinaryenAtomicNotify(module_, address_of(word), all, kMemory)));
  }
  void pause() override {}

  Result<Module> finish() override {
    const BinaryenModuleAllocateAndWriteResult written = BinaryenModuleAllocateAndWrite(module_, nullptr);
    Module out;
    const auto* bytes = static_cast<const uint8_t*>(written.binary);
    out.bytes.assign(bytes, bytes + written.binaryBytes);
    free(written.binary);
    for (size_t i = 0; i < names_.size(); ++i)
      out.symbols.push_back({names_[i], 0, 0, static_cast<bool>(exported_[i])});
    return out;
  }

 private:
  bool wide() const { return target_.memory64; }
  int local(BinaryenType type) {
    locals_.push_back(type);
    return static_cast<int>(locals_.size()) - 1;
  }
  void emit(Ref expression) { blocks_.back().push_back(expression); }
  void assign(int id, Ref v) { emit(BinaryenLocalSet(module_, static_cast<BinaryenIndex>(id), v)); }
  Ref get(int id) { return BinaryenLocalGet(module_, static_cast<BinaryenIndex>(id), address_); }
  Ref get_vec(Vec v) { return BinaryenLocalGet(module_, static_cast<BinaryenIndex>(v.id), BinaryenTypeVec128()); }
  Ref value(const Arg& a) {
    if (!a.is_imm()) return get(a.reg.id);
    return BinaryenConst(module_,
                         wide() ? BinaryenLiteralInt64(a.imm) : BinaryenLiteralInt32(static_cast<int32_t>(a.imm)));
  }
  Ref binary(BinaryenOp operation, Ref a, Ref b) { return BinaryenBinary(module_, operation, a, b); }
  Ref constant_vec(uint32_t bits) {
    uint8_t bytes[16];
    for (int i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(bits >> (8 * (i & 3)));
    return BinaryenConst(module_, BinaryenLiteralVec128(bytes));
  }
  void make_constants() {
    std::vector<Ref> sets;
    for (const auto& [bits, id] : constants_)
      sets.push_back(BinaryenLocalSet(module_, static_cast<BinaryenIndex>(id), constant_vec(bits)));
    blocks_[0].insert(blocks_[0].begin() + static_cast<std::ptrdiff_t>(constants_at_), sets.begin(), sets.end());
  }
  /// Constants are made once, at the start of the function. V8 takes several instructions for each and does not hoist
  /// them out of loops. All zeros and all ones cost one instruction, so they stay in place, as do rarely used
  /// constants.
  void splat_bits(Vec dst, uint32_t bits) {
    if (bits == 0 || bits == ~0u || rare_) return assign(dst.id, constant_vec(bits));
    auto at = constants_.find(bits);
    if (at == constants_.end()) at = constants_.emplace(bits, local(BinaryenTypeVec128())).first;
    assign(dst.id, BinaryenLocalGet(module_, static_cast<BinaryenIndex>(at->second), BinaryenTypeVec128()));
  }
  Ref close_block() {
    std::vector<Ref> body = std::move(blocks_.back());
    blocks_.pop_back();
    if (body.size() == 1) return body[0];
    if (body.empty()) return BinaryenNop(module_);
    return BinaryenBlock(module_, nullptr, body.data(), static_cast<BinaryenIndex>(body.size()), BinaryenTypeAuto());
  }
  static uint32_t offset(Mem m) { return static_cast<uint32_t>(m.offset); }
  /// The same place with an offset that an instruction can hold, which has no sign, and a few more lanes behind it.
  Mem near(Mem m) {
    if (m.offset >= 0 && (!wide() || m.offset < INT32_MAX)) return m;
    const Int base = integer();
    op(IntOp::add, base, m.base, m.offset);
    return {base, 0};
  }
  Ref address_of(Mem m) {
    return m.offset == 0 ? get(m.base.id) : binary(int_op(IntOp::add), get(m.base.id), value(Arg(m.offset)));
  }
  Ref narrowed(Ref v) { return wide() ? BinaryenUnary(module_, BinaryenWrapInt64(), v) : v; }
  Ref widened(Ref v) { return wide() ? BinaryenUnary(module_, BinaryenExtendSInt32(), v) : v; }
  Ref simd_load(BinaryenOp operation, Mem src) {
    return BinaryenSIMDLoad(module_, operation, offset(src), 1, get(src.base.id), kMemory);
  }
  void lane_access(BinaryenOp operation, Mem m, int lane, Vec v, int64_t extra = 0) {
    emit(BinaryenSIMDLoadStoreLane(module_, operation, static_cast<uint32_t>(m.offset + extra), 1,
                                   static_cast<uint8_t>(lane), get(m.base.id), get_vec(v), kMemory));
  }
  void shift(BinaryenOp operation, Vec dst, Vec a, int bits) {
    assign(dst.id,
           BinaryenSIMDShift(module_, operation, get_vec(a), BinaryenConst(module_, BinaryenLiteralInt32(bits))));
  }
  void load_words(Vec dst, Mem src, int lanes) {
    switch (lanes) {
      case 1:
        return assign(dst.id, simd_load(BinaryenLoad32ZeroVec128(), src));
      case 4:
        return assign(
            dst.id, BinaryenLoad(module_, 16, false, offset(src), 0, BinaryenTypeVec128(), get(src.base.id), kMemory));
      default:
        assign(dst.id, simd_load(BinaryenLoad64ZeroVec128(), src));
        if (lanes == 3) load_lane(dst, 2, {src.base, src.offset + 8});
    }
  }
  /// Elements of 8 or 16 bits.
  void load_narrow(Vec dst, Mem src, DType type, int lanes) {
    const bool bytes = size_of(type) == 1;
    if (lanes == 4) {
      assign(dst.id, simd_load(bytes ? BinaryenLoad32ZeroVec128() : BinaryenLoad64ZeroVec128(), src));
    } else {
      assign(dst.id, constant_vec(0));
      for (int i = 0; i < lanes; ++i)
        assign(dst.id,
               BinaryenSIMDLoadStoreLane(module_, bytes ? BinaryenLoad8LaneVec128() : BinaryenLoad16LaneVec128(),
                                         static_cast<uint32_t>(src.offset + i * size_of(type)), 1,
                                         static_cast<uint8_t>(i), get(src.base.id), get_vec(dst), kMemory));
    }
    const bool sign = is_signed(type);
    Ref v = get_vec(dst);
    if (bytes)
      v = BinaryenUnary(module_, sign ? BinaryenExtendLowSVecI8x16ToVecI16x8() : BinaryenExtendLowUVecI8x16ToVecI16x8(),
                        v);
    v = BinaryenUnary(module_, sign ? BinaryenExtendLowSVecI16x8ToVecI32x4() : BinaryenExtendLowUVecI16x8ToVecI32x4(),
                      v);
    if (type == DType::boolean) v = binary(BinaryenNeVecI32x4(), v, constant_vec(0));
    assign(dst.id, v);
  }
  void store_narrow(Mem dst, Vec src, DType type, int lane) {
    Ref v = BinaryenSIMDExtract(module_, BinaryenExtractLaneVecI32x4(), get_vec(src), static_cast<uint8_t>(lane));
    BinaryenType t = BinaryenTypeInt32();
    if (type == DType::boolean) v = binary(BinaryenAndInt32(), v, BinaryenConst(module_, BinaryenLiteralInt32(1)));
    if (type == DType::i64) {
      v = BinaryenUnary(module_, BinaryenExtendSInt32(), v);
      t = BinaryenTypeInt64();
    }
    const int64_t bytes = size_of(type);
    emit(BinaryenStore(module_, static_cast<uint32_t>(bytes), static_cast<uint32_t>(dst.offset + bytes * lane), 0,
                       get(dst.base.id), v, t, kMemory));
  }

  BinaryenOp int_op(IntOp operation) const {
    const bool w = wide();
    switch (operation) {
      case IntOp::add:
        return w ? BinaryenAddInt64() : BinaryenAddInt32();
      case IntOp::sub:
        return w ? BinaryenSubInt64() : BinaryenSubInt32();
      case IntOp::mul:
        return w ? BinaryenMulInt64() : BinaryenMulInt32();
      case IntOp::div:
        return w ? BinaryenDivUInt64() : BinaryenDivUInt32();
      case IntOp::rem:
        return w ? BinaryenRemUInt64() : BinaryenRemUInt32();
      case IntOp::and_:
        return w ? BinaryenAndInt64() : BinaryenAndInt32();
      case IntOp::or_:
        return w ? BinaryenOrInt64() : BinaryenOrInt32();
      case IntOp::shl:
        return w ? BinaryenShlInt64() : BinaryenShlInt32();
      default:
        return w ? BinaryenShrUInt64() : BinaryenShrUInt32();
    }
  }
  BinaryenOp compare_op(Compare cmp) const {
    const bool w = wide();
    switch (cmp) {
      case Compare::eq:
        return w ? BinaryenEqInt64() : BinaryenEqInt32();
      case Compare::ne:
        return w ? BinaryenNeInt64() : BinaryenNeInt32();
      case Compare::lt:
        return w ? BinaryenLtSInt64() : BinaryenLtSInt32();
      case Compare::le:
        return w ? BinaryenLeSInt64() : BinaryenLeSInt32();
      case Compare::gt:
        return w ? BinaryenGtSInt64() : BinaryenGtSInt32();
      default:
        return w ? BinaryenGeSInt64() : BinaryenGeSInt32();
    }
  }
  static BinaryenOp f32_compare(Compare cmp) {
    const BinaryenOp ops[] = {BinaryenEqVecF32x4(), BinaryenNeVecF32x4(), BinaryenLtVecF32x4(),
                              BinaryenLeVecF32x4(), BinaryenGtVecF32x4(), BinaryenGeVecF32x4()};
    return ops[static_cast<int>(cmp)];
  }
  static BinaryenOp i32_compare(Compare cmp) {
    const BinaryenOp ops[] = {BinaryenEqVecI32x4(),  BinaryenNeVecI32x4(),  BinaryenLtSVecI32x4(),
                              BinaryenLeSVecI32x4(), BinaryenGtSVecI32x4(), BinaryenGeSVecI32x4()};
    return ops[static_cast<int>(cmp)];
  }
  static BinaryenOp unary_op(VecUnary operation) {
    const BinaryenOp ops[] = {BinaryenNegVecF32x4(),
                              BinaryenAbsVecF32x4(),
                              BinaryenSqrtVecF32x4(),
                              BinaryenFloorVecF32x4(),
                              BinaryenCeilVecF32x4(),
                              BinaryenNearestVecF32x4(),
                              BinaryenTruncVecF32x4(),
                              BinaryenNotVec128(),
                              BinaryenNegVecI32x4(),
                              BinaryenAbsVecI32x4(),
                              BinaryenTruncSatSVecF32x4ToVecI32x4(),
                              BinaryenConvertSVecI32x4ToVecF32x4()};
    return ops[static_cast<int>(operation)];
  }
  static BinaryenOp binary_op(VecBinary operation) {
    const BinaryenOp ops[] = {BinaryenAddVecF32x4(),  BinaryenSubVecF32x4(),  BinaryenMulVecF32x4(),
                              BinaryenDivVecF32x4(),  BinaryenPMinVecF32x4(), BinaryenPMaxVecF32x4(),
                              BinaryenAddVecI32x4(),  BinaryenSubVecI32x4(),  BinaryenMulVecI32x4(),
                              BinaryenMinSVecI32x4(), BinaryenMaxSVecI32x4(), BinaryenAndVec128(),
                              BinaryenOrVec128(),     BinaryenXorVec128(),    BinaryenAndNotVec128()};
    return ops[static_cast<int>(operation)];
  }

  BinaryenModuleRef module_;
  BinaryenType address_;
  int params_ = 0, labels_ = 0;
  std::vector<BinaryenType> locals_;
  std::vector<std::vector<Ref>> blocks_;
  std::map<uint32_t, int> constants_;  ///< bits → local
  bool rare_ = false;
  size_t constants_at_ = 0;  ///< where in the function's outermost block they are made
  std::vector<std::string> names_;
  std::vector<bool> exported_;
};

}  // namespace

std::unique_ptr<ModuleEmitter> make_wasm_emitter(const Target& target) { return std::make_unique<WasmEmitter>(target); }

}  // namespace kiln
