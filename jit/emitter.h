// The instruction set that kernels are written in: typed operations on virtual registers, structured control flow,
// functions. A register is mutable and belongs to the function in which it was made. A kernel never knows which backend
// implements the emitter.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "jit/expr.h"
#include "jit/target.h"
#include "support/dtype.h"
#include "support/function_ref.h"
#include "support/result.h"

namespace kiln {

struct Int {
  int id = -1;
};  ///< address-wide integer register (32-bit in wasm, 64-bit natively and with memory64)
struct Vec {
  int id = -1;
};  ///< vector register: Target::width lanes of 32 bits
struct Func {
  int id = -1;
};

/// An integer operand: a register or an immediate.
struct Arg {
  Arg(Int r) : reg(r) {}
  Arg(int64_t value) : imm(value) {}
  Arg(int value) : imm(value) {}
  bool is_imm() const { return reg.id < 0; }
  Int reg;
  int64_t imm = 0;
};

/// base + offset bytes, whatever the offset's sign.
struct Mem {
  Int base;
  int64_t offset = 0;
};

enum class IntOp : uint8_t {
  add,
  sub,
  mul,
  div,
  rem,
  min,
  max,
  and_,
  or_,
  shl,
  shr
};                                                        // unsigned div/rem/shr, signed min/max
enum class Compare : uint8_t { eq, ne, lt, le, gt, ge };  // signed

enum class VecUnary : uint8_t {
  neg,
  abs,
  sqrt,
  floor,
  ceil,
  round,
  trunc,
  not_,
  i32_neg,
  i32_abs,
  f32_to_i32,
  i32_to_f32
};
enum class VecBinary : uint8_t {
  add,
  sub,
  mul,
  div,
  min,
  max,  // f32; min is b < a ? b : a, max is a < b ? b : a, so a NaN stays if it is in a
  i32_add,
  i32_sub,
  i32_mul,
  i32_min,
  i32_max,
  and_,
  or_,
  xor_,
  andnot,  // andnot: a & ~b
};

/// What a function of machine code takes at most; finish() reports one with more. WebAssembly has no such limit, and
/// functions that kernels share take their sizes there.
constexpr int kMaxNativeParams = 16;

class Emitter {
 public:
  virtual ~Emitter() = default;
  const Target& target() const { return target_; }
  int width() const { return target_.width; }

  // -- functions
  // ---------------------------------------------------------------------------------------------------------
  /// Opens a function with `params` integer parameters, the registers param(0)…, and no result. Functions do not nest.
  virtual Func begin_function(const std::string& name, int params, bool exported = false) = 0;
  virtual void end_function() = 0;
  virtual Int param(int index) = 0;
  /// Calls a function that has ended.
  virtual void call(Func function, const std::vector<Arg>& args) = 0;
  virtual void return_() = 0;
  /// A function that several kernels call. `emit` makes it the first time that `key` is asked for. Call it between
  /// functions.
  Func shared_function(const std::string& key, FunctionRef<Func()> emit);

  // -- integers
  // ----------------------------------------------------------------------------------------------------------
  virtual Int integer() = 0;
  virtual void set(Int dst, Arg src) = 0;
  virtual void op(IntOp op, Int dst, Arg a, Arg b) = 0;
  virtual void load_int(Int dst, Mem src,
                        DType type) = 0;  ///< integers (of 64 bits the low ones when addresses are narrower), boolean
  virtual void store_int(Mem dst, Int src, DType type) = 0;  ///< integers (i64 sign-extended)

  // -- control
  // -----------------------------------------------------------------------------------------------------------
  /// do body while (a cmp b); both are evaluated after the body.
  virtual void do_while(FunctionRef<void()> body, Int a, Compare cmp, Arg b) = 0;
  virtual void if_(Int a, Compare cmp, Arg b, FunctionRef<void()> then, FunctionRef<void()> otherwise) = 0;
  void if_(Int a, Compare cmp, Arg b, FunctionRef<void()> then) {
    if_(a, cmp, b, then, [] {});
  }
  /// for (i = begin; i < end; i += step) body. If begin and end are immediates, the first round runs without a test.
  void for_range(Int i, Arg begin, Arg end, Arg step, FunctionRef<void()> body);

  // -- vectors
  // -----------------------------------------------------------------------------------------------------------
  /// Makes the constants that are used from here on. By default constants are made at the beginning of the function,
  /// where they take registers from earlier loops. Call it outside of blocks.
  virtual void constants_from_here() {}
  virtual Vec vec() = 0;
  virtual void set(Vec dst, Vec src) = 0;
  virtual void splat(Vec dst, float value) = 0;
  virtual void splat_i32(Vec dst, int32_t value) = 0;
  virtual void splat_int(Vec dst, Int src) = 0;   ///< low 32 bits into every lane
  virtual void splat_load(Vec dst, Mem src) = 0;  ///< one 32-bit element into every lane
  /// Loads `lanes` (1…width) consecutive elements; the other lanes become 0. Integers are widened or truncated to i32
  /// lanes, also those of 8 and 16 bits. Booleans become masks. It never touches memory beyond the last element.
  virtual void load(Vec dst, Mem src, DType type, int lanes) = 0;
  virtual void store(Mem dst, Vec src, DType type, int lanes) = 0;
  void load(Vec dst, Mem src) { load(dst, src, DType::f32, width()); }
  void store(Mem dst, Vec src) { store(dst, src, DType::f32, width()); }
  /// Loads one 32-bit element into lane `lane`. The other lanes stay.
  virtual void load_lane(Vec dst, int lane, Mem src) = 0;
  virtual void store_lane(Mem dst, Vec src, int lane) = 0;
  virtual void op(VecUnary op, Vec dst, Vec a) = 0;
  virtual void op(VecBinary op, Vec dst, Vec a, Vec b) = 0;
  virtual void madd(Vec dst, Vec a, Vec b, Vec c) = 0;   ///< dst = a·b + c, rounded once or twice as the target does
  virtual void nmadd(Vec dst, Vec a, Vec b, Vec c) = 0;  ///< dst = c − a·b
  /// dst = c + a.low · b.low + a.high · b.high in each lane, where low and high are a lane's two i16. The i32 sum
  /// wraps.
  virtual void dot_i16(Vec dst, Vec a, Vec b, Vec c) = 0;
  virtual void shift_left(Vec dst, Vec a, int bits) = 0;
  virtual void shift_right(Vec dst, Vec a, int bits) = 0;                   ///< arithmetic
  virtual void compare(Vec dst, Lane lane, Compare cmp, Vec a, Vec b) = 0;  ///< f32: false on NaN except ne
  virtual void select(Vec dst, Vec mask, Vec a, Vec b) = 0;                 ///< mask ? a : b
  virtual void rotate(Vec dst, Vec a, int lanes) = 0;  ///< dst[i] = a[(i + lanes) mod width], for horizontal reductions

  /// Not zero when a lane of the mask is set.
  virtual void any(Int dst, Vec mask) = 0;
  /// Runs `then` if a lane of the mask is set. Use it where that is rare.
  virtual void if_any(Vec mask, FunctionRef<void()> then);

  // -- atomics on 32-bit words (only where target().threads)
  // ---------------------------------------------------------------
  virtual void atomic_add(Int old, Mem word, Arg value) = 0;
  virtual void atomic_load(Int dst, Mem word) = 0;
  virtual void atomic_store(Mem word, Arg value) = 0;
  virtual void atomic_wait(Mem word, Int expected) = 0;  ///< sleeps while *word == expected (may wake spuriously)
  virtual void atomic_notify(Mem word) = 0;              ///< wakes all
  virtual void pause() = 0;                              ///< hint inside a spin loop

 protected:
  explicit Emitter(Target target) : target_(std::move(target)) {}
  Target target_;

 private:
  std::map<std::string, Func> shared_functions_;
};

// Shorthands that every kernel uses.
inline void add(Emitter& e, Int dst, Arg a, Arg b) { e.op(IntOp::add, dst, a, b); }
/// Folds a vector's lanes into all lanes with add, max, min or mul.
void horizontal(Emitter& e, VecBinary op, Vec v, Vec scratch);

/// A finished module: bytes to instantiate, or code pages to call.
struct Module {
  std::vector<uint8_t> bytes;  ///< wasm binary, or machine code
  struct Symbol {
    std::string name;
    uint64_t offset, size;
    bool exported;
  };
  std::vector<Symbol> symbols;  ///< functions in order of emission (offsets within `bytes`; wasm: size only)
};

/// An emitter that makes a Module. Backends: make_wasm_emitter (jit/backends/wasm.h), make_native_emitter,
/// make_reference_emitter.
class ModuleEmitter : public Emitter {
 public:
  using Emitter::Emitter;
  /// Completes the module. Nothing may be emitted afterwards.
  virtual Result<Module> finish() = 0;
};

}  // namespace kiln
