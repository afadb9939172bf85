#include "jit/backends/reference.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>

namespace kiln {
namespace {

constexpr int kMaxWidth = 16;
using Lanes = std::array<uint32_t, kMaxWidth>;

float as_float(uint32_t bits) {
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}
uint32_t bits_of(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return bits;
}

struct Frame {
  std::vector<int64_t> ints;
  std::vector<Lanes> vecs;
  bool returned = false;
  const char* fault = nullptr;  ///< ends everything
  bool stopped() const { return returned || fault; }
};

using Action = std::function<void(Frame&)>;
using Block = std::vector<Action>;

void run(const Block& block, Frame& f) {
  for (const Action& a : block) {
    a(f);
    if (f.stopped()) return;
  }
}

struct Function {
  std::string name;
  int params = 0, ints = 0, vecs = 0;
  Block body;
};

bool holds(Compare c, int64_t a, int64_t b) {
  switch (c) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return a != b;
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    default:
      return a >= b;
  }
}
bool holds(Compare c, float a, float b) {
  switch (c) {
    case Compare::eq:
      return a == b;
    case Compare::ne:
      return a != b;
    case Compare::lt:
      return a < b;
    case Compare::le:
      return a <= b;
    case Compare::gt:
      return a > b;
    default:
      return a >= b;
  }
}

int64_t compute(IntOp op, int64_t a, int64_t b) {
  const auto ua = static_cast<uint64_t>(a), ub = static_cast<uint64_t>(b);
  switch (op) {
    case IntOp::add:
      return static_cast<int64_t>(ua + ub);
    case IntOp::sub:
      return static_cast<int64_t>(ua - ub);
    case IntOp::mul:
      return static_cast<int64_t>(ua * ub);
    case IntOp::div:
      return static_cast<int64_t>(ua / ub);
    case IntOp::rem:
      return static_cast<int64_t>(ua % ub);
    case IntOp::min:
      return a < b ? a : b;
    case IntOp::max:
      return a > b ? a : b;
    case IntOp::and_:
      return a & b;
    case IntOp::or_:
      return a | b;
    case IntOp::shl:
      return static_cast<int64_t>(ua << ub);
    default:
      return static_cast<int64_t>(ua >> ub);
  }
}

uint32_t truncated(float x) {
  if (std::isnan(x)) return 0;
  if (x >= 2147483648.0f) return 0x7fffffffu;
  if (x <= -2147483648.0f) return 0x80000000u;
  return static_cast<uint32_t>(static_cast<int32_t>(x));
}

uint32_t compute(VecUnary op, uint32_t a) {
  const float x = as_float(a);
  switch (op) {
    case VecUnary::neg:
      return a ^ 0x80000000u;
    case VecUnary::abs:
      return a & 0x7fffffffu;
    case VecUnary::sqrt:
      return bits_of(std::sqrt(x));
    case VecUnary::floor:
      return bits_of(std::floor(x));
    case VecUnary::ceil:
      return bits_of(std::ceil(x));
    case VecUnary::round:
      return bits_of(std::nearbyint(x));
    case VecUnary::trunc:
      return bits_of(std::trunc(x));
    case VecUnary::not_:
      return ~a;
    case VecUnary::i32_neg:
      return 0u - a;
    case VecUnary::i32_abs:
      return a >> 31 ? 0u - a : a;
    case VecUnary::f32_to_i32:
      return truncated(x);
    default:
      return bits_of(static_cast<float>(static_cast<int32_t>(a)));
  }
}

uint32_t compute(VecBinary op, uint32_t a, uint32_t b) {
  const float x = as_float(a), y = as_float(b);
  const auto i = static_cast<int32_t>(a), j = static_cast<int32_t>(b);
  switch (op) {
    case VecBinary::add:
      return bits_of(x + y);
    case VecBinary::sub:
      return bits_of(x - y);
    case VecBinary::mul:
      return bits_of(x * y);
    case VecBinary::div:
      return bits_of(x / y);
    case VecBinary::min:
      return y < x ? b : a;
    case VecBinary::max:
      return x < y ? b : a;
    case VecBinary::i32_add:
      return a + b;
    case VecBinary::i32_sub:
      return a - b;
    case VecBinary::i32_mul:
      return a * b;
    case VecBinary::i32_min:
      return i < j ? a : b;
    case VecBinary::i32_max:
      return i > j ? a : b;
    case VecBinary::and_:
      return a & b;
    case VecBinary::or_:
      return a | b;
    case VecBinary::xor_:
      return a ^ b;
    default:
      return a & ~b;
  }
}

/// Reads or writes one element; `bits` are a lane's.
uint32_t read_element(const char* at, DType type) {
  uint32_t word = 0;
  switch (size_of(type)) {
    case 1:
      word = static_cast<uint8_t>(*at);
      if (type == DType::i8) word = static_cast<uint32_t>(static_cast<int32_t>(static_cast<int8_t>(*at)));
      return type == DType::boolean ? (word ? ~0u : 0u) : word;
    case 2:
      std::memcpy(&word, at, 2);
      return type == DType::i16 ? static_cast<uint32_t>(static_cast<int32_t>(static_cast<int16_t>(word))) : word;
    default:
      std::memcpy(&word, at, 4);
      return word;
  }
}
void write_element(char* at, DType type, uint32_t bits) {
  switch (size_of(type)) {
    case 1:
      *at = static_cast<char>(type == DType::boolean ? bits & 1 : bits);
      return;
    case 2:
      std::memcpy(at, &bits, 2);
      return;
    case 8: {
      const int64_t wide = static_cast<int32_t>(bits);
      std::memcpy(at, &wide, 8);
      return;
    }
    default:
      std::memcpy(at, &bits, 4);
  }
}

class Reference final : public ReferenceEmitter {
 public:
  explicit Reference(const Target& target) : ReferenceEmitter(target) {}

  Func begin_function(const std::string& name, int params, bool exported) override {
    functions_.emplace_back();
    functions_.back().name = name;
    functions_.back().params = functions_.back().ints = params;
    exported_.push_back(exported);
    blocks_.assign(1, {});
    return Func{static_cast<int>(functions_.size()) - 1};
  }
  void end_function() override { functions_.back().body = std::move(blocks_.back()); }
  Int param(int index) override { return Int{index}; }
  void call(Func function, const std::vector<Arg>& args) override {
    put([this, function, args](Frame& f) {
      std::vector<int64_t> values;
      for (const Arg& a : args) values.push_back(value(f, a));
      f.fault = invoke(functions_[static_cast<size_t>(function.id)], values);
    });
  }
  void return_() override {
    put([](Frame& f) { f.returned = true; });
  }

  Int integer() override { return Int{functions_.back().ints++}; }
  void set(Int dst, Arg src) override {
    put([=](Frame& f) { at(f, dst) = value(f, src); });
  }
  void op(IntOp operation, Int dst, Arg a, Arg b) override {
    put([=](Frame& f) {
      const int64_t divisor = value(f, b);
      if ((operation == IntOp::div || operation == IntOp::rem) && divisor == 0)
        f.fault = "division by zero";
      else
        at(f, dst) = compute(operation, value(f, a), divisor);
    });
  }
  void load_int(Int dst, Mem src, DType type) override {
    put([=](Frame& f) {
      const char* p = access(f, src, size_of(type));
      if (!p) return;
      if (size_of(type) == 8)
        std::memcpy(&at(f, dst), p, 8);
      else if (size_of(type) == 1)
        at(f, dst) = type == DType::i8 ? static_cast<int8_t>(*p) : static_cast<uint8_t>(*p);
      else
        at(f, dst) = static_cast<int32_t>(read_element(p, type));
    });
  }
  void store_int(Mem dst, Int src, DType type) override {
    put([=](Frame& f) {
      char* p = access(f, dst, size_of(type));
      if (p) std::memcpy(p, &at(f, src), static_cast<size_t>(size_of(type)));  // little-endian, as every target
    });
  }

  void do_while(FunctionRef<void()> body, Int a, Compare cmp, Arg b) override {
    Block inner = block_of(body);
    put([inner = std::move(inner), a, cmp, b](Frame& f) {
      do {
        run(inner, f);
      } while (!f.stopped() && holds(cmp, at(f, a), value(f, b)));
    });
  }
  void if_(Int a, Compare cmp, Arg b, FunctionRef<void()> then, FunctionRef<void()> otherwise) override {
    Block yes = block_of(then), no = block_of(otherwise);
    put([yes = std::move(yes), no = std::move(no), a, cmp, b](Frame& f) {
      run(holds(cmp, at(f, a), value(f, b)) ? yes : no, f);
    });
  }

  Vec vec() override { return Vec{functions_.back().vecs++}; }
  void set(Vec dst, Vec src) override {
    put([=](Frame& f) { at(f, dst) = at(f, src); });
  }
  void splat(Vec dst, float v) override { fill(dst, bits_of(v)); }
  void splat_i32(Vec dst, int32_t v) override { fill(dst, static_cast<uint32_t>(v)); }
  void splat_int(Vec dst, Int src) override {
    put([=](Frame& f) { at(f, dst).fill(static_cast<uint32_t>(at(f, src))); });
  }
  void splat_load(Vec dst, Mem src) override {
    put([=](Frame& f) {
      if (const char* p = access(f, src, 4)) at(f, dst).fill(read_element(p, DType::i32));
    });
  }
  void load(Vec dst, Mem src, DType type, int lanes) override {
    put([=](Frame& f) {
      const char* p = access(f, src, size_of(type) * lanes);
      if (!p) return;
      at(f, dst).fill(0);
      for (int i = 0; i < lanes; ++i) at(f, dst)[static_cast<size_t>(i)] = read_element(p + i * size_of(type), type);
    });
  }
  void store(Mem dst, Vec src, DType type, int lanes) override {
    put([=](Frame& f) {
      char* p = access(f, dst, size_of(type) * lanes);
      for (int i = 0; p && i < lanes; ++i)
        write_element(p + i * size_of(type), type, at(f, src)[static_cast<size_t>(i)]);
    });
  }
  void load_lane(Vec dst, int lane, Mem src) override {
    put([=](Frame& f) {
      if (const char* p = access(f, src, 4)) at(f, dst)[static_cast<size_t>(lane)] = read_element(p, DType::i32);
    });
  }
  void store_lane(Mem dst, Vec src, int lane) override {
    put([=](Frame& f) {
      if (char* p = access(f, dst, 4)) write_element(p, DType::i32, at(f, src)[static_cast<size_t>(lane)]);
    });
  }
  void op(VecUnary operation, Vec dst, Vec a) override {
    each(dst, [=](const Frame& f, size_t i) { return compute(operation, at(f, a)[i]); });
  }
  void op(VecBinary operation, Vec dst, Vec a, Vec b) override {
    each(dst, [=](const Frame& f, size_t i) { return compute(operation, at(f, a)[i], at(f, b)[i]); });
  }
  void madd(Vec dst, Vec a, Vec b, Vec c) override { multiply_add(dst, a, b, c, 1); }
  void nmadd(Vec dst, Vec a, Vec b, Vec c) override { multiply_add(dst, a, b, c, -1); }
  void dot_i16(Vec dst, Vec a, Vec b, Vec c) override {
    each(dst, [=](const Frame& f, size_t i) {
      const uint32_t x = at(f, a)[i], y = at(f, b)[i];
      const auto product = [&](int shift) {
        return static_cast<uint32_t>(int32_t{static_cast<int16_t>(x >> shift)} * static_cast<int16_t>(y >> shift));
      };
      return at(f, c)[i] + product(0) + product(16);
    });
  }
  void shift_left(Vec dst, Vec a, int bits) override {
    each(dst, [=](const Frame& f, size_t i) { return at(f, a)[i] << bits; });
  }
  void shift_right(Vec dst, Vec a, int bits) override {
    each(dst,
         [=](const Frame& f, size_t i) { return static_cast<uint32_t>(static_cast<int32_t>(at(f, a)[i]) >> bits); });
  }
  void compare(Vec dst, Lane lane, Compare cmp, Vec a, Vec b) override {
    each(dst, [=](const Frame& f, size_t i) {
      const uint32_t x = at(f, a)[i], y = at(f, b)[i];
      const bool yes = lane == Lane::f32
                           ? holds(cmp, as_float(x), as_float(y))
                           : holds(cmp, int64_t{static_cast<int32_t>(x)}, int64_t{static_cast<int32_t>(y)});
      return yes ? ~0u : 0u;
    });
  }
  void select(Vec dst, Vec mask, Vec a, Vec b) override {
    each(dst,
         [=](const Frame& f, size_t i) { return (at(f, mask)[i] & at(f, a)[i]) | (~at(f, mask)[i] & at(f, b)[i]); });
  }
  void rotate(Vec dst, Vec a, int lanes) override {
    const auto w = static_cast<size_t>(width());
    each(dst, [=](const Frame& f, size_t i) { return at(f, a)[(i + static_cast<size_t>(lanes)) % w]; });
  }
  void any(Int dst, Vec mask) override {
    put([=](Frame& f) {
      at(f, dst) = 0;
      for (size_t i = 0; i < static_cast<size_t>(width()); ++i) at(f, dst) |= at(f, mask)[i] != 0;
    });
  }

  void atomic_add(Int old, Mem word, Arg v) override {
    put([=](Frame& f) {
      if (auto* p = atomic(f, word))
        at(f, old) = __atomic_fetch_add(p, static_cast<int32_t>(value(f, v)), __ATOMIC_SEQ_CST);
    });
  }
  void atomic_load(Int dst, Mem word) override {
    put([=](Frame& f) {
      if (auto* p = atomic(f, word)) at(f, dst) = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    });
  }
  void atomic_store(Mem word, Arg v) override {
    put([=](Frame& f) {
      if (auto* p = atomic(f, word)) __atomic_store_n(p, static_cast<int32_t>(value(f, v)), __ATOMIC_SEQ_CST);
    });
  }
  void atomic_wait(Mem word, Int expected) override {
    put([=](Frame& f) {  // may wake spuriously: one turn for others is enough
      if (auto* p = atomic(f, word))
        if (__atomic_load_n(p, __ATOMIC_SEQ_CST) == static_cast<int32_t>(at(f, expected))) std::this_thread::yield();
    });
  }
  void atomic_notify(Mem) override {}
  void pause() override {
    put([](Frame&) { std::this_thread::yield(); });
  }

  Result<Module> finish() override {
    Module m;
    for (size_t i = 0; i < functions_.size(); ++i)
      m.symbols.push_back({functions_[i].name, 0, 0, static_cast<bool>(exported_[i])});
    return m;
  }
  Status call(const std::string& name, const std::vector<int64_t>& args) const override {
    for (const Function& f : functions_) {
      if (f.name != name) continue;
      if (const char* fault = invoke(f, args)) return Error{ErrorCode::internal, fault, name};
      return ok();
    }
    return Error{ErrorCode::internal, "no such function", name};
  }
  void allow(const void* start, int64_t bytes) override {
    allowed_.push_back({static_cast<const char*>(start), bytes});
  }

 private:
  const char* invoke(const Function& function, const std::vector<int64_t>& args) const {
    if (args.size() != static_cast<size_t>(function.params)) return "wrong number of arguments";
    Frame f;
    f.ints.assign(static_cast<size_t>(function.ints), int64_t{0x5eed5eed5eed});
    std::copy(args.begin(), args.end(), f.ints.begin());
    Lanes poison;
    poison.fill(0x7fdeadbeu);  // a NaN, and no small integer
    f.vecs.assign(static_cast<size_t>(function.vecs), poison);
    run(function.body, f);
    return f.fault;
  }
  void put(Action a) { blocks_.back().push_back(std::move(a)); }
  Block block_of(FunctionRef<void()> body) {
    blocks_.emplace_back();
    body();
    Block inner = std::move(blocks_.back());
    blocks_.pop_back();
    return inner;
  }
  static int64_t& at(Frame& f, Int r) { return f.ints[static_cast<size_t>(r.id)]; }
  static Lanes& at(Frame& f, Vec r) { return f.vecs[static_cast<size_t>(r.id)]; }
  static const Lanes& at(const Frame& f, Vec r) { return f.vecs[static_cast<size_t>(r.id)]; }
  static int64_t value(Frame& f, const Arg& a) { return a.is_imm() ? a.imm : at(f, a.reg); }
  char* access(Frame& f, Mem m, int64_t bytes) const {
    char* p = reinterpret_cast<char*>(static_cast<intptr_t>(at(f, m.base) + m.offset));
    bool inside = allowed_.empty();
    for (const auto& [start, size] : allowed_) inside |= p >= start && p + bytes <= start + size;
    if (inside) return p;
    f.fault = "memory access outside of the allowed ranges";
    return nullptr;
  }
  int32_t* atomic(Frame& f, Mem m) const { return reinterpret_cast<int32_t*>(access(f, m, 4)); }
  void fill(Vec dst, uint32_t bits) {
    put([=](Frame& f) { at(f, dst).fill(bits); });
  }
  template <class F>
  void each(Vec dst, F lane) {
    const auto w = static_cast<size_t>(width());
    put([=](Frame& f) {
      Lanes out{};
      for (size_t i = 0; i < w; ++i) out[i] = lane(f, i);
      at(f, dst) = out;
    });
  }
  void multiply_add(Vec dst, Vec a, Vec b, Vec c, float sign) {
    const bool once = target_.fma;
    each(dst, [=](const Frame& f, size_t i) {
      const float x = as_float(at(f, a)[i]), y = sign * as_float(at(f, b)[i]), z = as_float(at(f, c)[i]);
      if (once) return bits_of(std::fma(x, y, z));
      const float product = x * y;
      return bits_of(product + z);
    });
  }

  std::vector<Function> functions_;
  std::vector<bool> exported_;
  std::vector<Block> blocks_;
  std::vector<std::pair<const char*, int64_t>> allowed_;
};

}  // namespace

std::unique_ptr<ReferenceEmitter> make_reference_emitter(const Target& target) {
  return std::make_unique<Reference>(target);
}

}  // namespace kiln
