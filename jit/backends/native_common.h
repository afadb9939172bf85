// The common part of native backends: functions, registers, calls, the finished module. asmjit's Compiler allocates
// registers. Each of our registers is one of its virtual registers.
#pragma once

#include <asmjit/core.h>

#include <algorithm>
#include <new>

#include "jit/emitter.h"

namespace kiln::native {

/// Sleeps while *word == expected, and wakes all sleepers. Emitted code calls these functions by address.
void wait_on(int32_t* word, int32_t expected);
void wake_all(int32_t* word);

/// Keeps the first error; finish() reports it. Want of memory is thrown instead, as the standard library does, because
/// asmjit then returns nodes that are null.
class FirstError final : public asmjit::ErrorHandler {
 public:
  void handleError(asmjit::Error error, const char* message, asmjit::BaseEmitter*) override {
    if (error == asmjit::kErrorOutOfMemory) throw std::bad_alloc();
    fail(message);
  }
  void fail(const char* message) {
    if (message_.empty()) message_ = message;
  }
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

/// A node of asmjit's. Want of memory gives none, and not every such case is an error that it reports.
template <class Node>
Node& made(Node* node) {
  if (!node) throw std::bad_alloc();
  return *node;
}

/// A void function of `params` 64-bit integers, in the C convention. Entries are called like this from outside. It also
/// serves tiles, because they pass no vectors.
class Signature : public asmjit::FuncSignatureBuilder {
 public:
  explicit Signature(size_t params) {
    setRet(asmjit::TypeId::kVoid);
    for (size_t i = 0; i < params; ++i) addArg(asmjit::TypeId::kInt64);
  }
};

/// `Gp` and `Reg` are asmjit's integer and vector registers.
template <class Compiler, class Gp, class Reg>
class NativeEmitter : public ModuleEmitter {
 public:
  NativeEmitter(const Target& target, asmjit::Arch arch) : ModuleEmitter(target) {
    asmjit::Environment environment = asmjit::Environment::host();
    environment.setArch(arch);
    code_.init(environment);
    code_.setErrorHandler(&error_);
    code_.attach(&cc);
  }

  Func begin_function(const std::string& name, int params, bool exported) override {
    ints_.clear();
    vecs_.clear();
    static_assert(kMaxNativeParams <= asmjit::Globals::kMaxFuncArgs);
    if (params > kMaxNativeParams) error_.fail("a function has more than 16 parameters");
    const auto count = static_cast<size_t>(std::min(params, kMaxNativeParams));
    cc.align(asmjit::AlignMode::kCode, 64);
    asmjit::FuncNode& f = made(cc.addFunc(Signature(count)));
    prepare(f.frame(), exported);
    for (int i = 0; i < params; ++i) {
      integer();
      if (static_cast<size_t>(i) < count) f.setArg(static_cast<size_t>(i), ints_.back());
    }
    functions_.push_back({name, exported, f.label(), {}});
    return Func{static_cast<int>(functions_.size()) - 1};
  }
  void end_function() override {
    cc.ret();
    cc.endFunc();
    functions_.back().end = cc.newLabel();
    cc.bind(functions_.back().end);
  }
  Int param(int index) override { return Int{index}; }
  void call(Func function, const std::vector<Arg>& args) override {
    if (args.size() > kMaxNativeParams) return;  // finish() reports the callee
    std::vector<Gp> values;                // asmjit for AArch64 takes no immediates where arguments go on the stack
    for (const Arg& a : args) values.push_back(value(a));
    asmjit::InvokeNode* node = nullptr;
    cc.invoke(&node, functions_[static_cast<size_t>(function.id)].begin, Signature(args.size()));
    call_label(&made(node));
    for (size_t i = 0; i < values.size(); ++i) node->setArg(i, values[i]);
  }
  void return_() override { cc.ret(); }

  Int integer() override {
    ints_.push_back(cc.newInt64());
    return Int{static_cast<int>(ints_.size()) - 1};
  }
  Vec vec() override {
    vecs_.push_back(new_vec());
    return Vec{static_cast<int>(vecs_.size()) - 1};
  }

  void atomic_wait(Mem word, Int expected) override {
    const Int at = integer();
    op(IntOp::add, at, word.base, word.offset);
    call_host(reinterpret_cast<const void*>(&wait_on), {at, expected});
  }
  void atomic_notify(Mem word) override {
    const Int at = integer();
    op(IntOp::add, at, word.base, word.offset);
    call_host(reinterpret_cast<const void*>(&wake_all), {at});
  }

  Result<Module> finish() override {
    cc.finalize();
    if (error_.message().empty()) code_.flatten();
    if (error_.message().empty()) code_.resolveUnresolvedLinks();
    if (!error_.message().empty())
      return Error{ErrorCode::internal, "asmjit: " + error_.message(),
                   functions_.empty() ? "" : functions_.back().name};
    Module m;
    m.bytes.resize(code_.codeSize());
    code_.copyFlattenedData(m.bytes.data(), m.bytes.size());
    for (const Function& f : functions_) {
      const uint64_t begin = code_.labelOffset(f.begin);
      m.symbols.push_back({f.name, begin, code_.labelOffset(f.end) - begin, f.exported});
    }
    return m;
  }

 protected:
  virtual void prepare(asmjit::FuncFrame& frame, bool exported) = 0;
  virtual Reg new_vec() = 0;
  /// For targets where a call to a label is another instruction than a call through a register.
  virtual void call_label(asmjit::InvokeNode*) {}

  Gp reg(Int r) const { return ints_[static_cast<size_t>(r.id)]; }
  Reg reg(Vec r) const { return vecs_[static_cast<size_t>(r.id)]; }
  /// A register that holds the operand.
  Gp value(const Arg& a) {
    if (!a.is_imm()) return reg(a.reg);
    const Gp r = cc.newInt64();
    cc.mov(r, asmjit::Imm(a.imm));
    return r;
  }
  asmjit::Operand constant(const void* data, size_t bytes) {
    return cc.newConst(asmjit::ConstPoolScope::kGlobal, data, bytes);
  }
  /// Runs `emit`. Returns whether it emitted anything.
  bool emits(FunctionRef<void()> emit) {
    const asmjit::BaseNode* before = cc.cursor();
    emit();
    return cc.cursor() != before;
  }

  Compiler cc;

 private:
  struct Function {
    std::string name;
    bool exported;
    asmjit::Label begin, end;
  };
  void call_host(const void* function, const std::vector<Arg>& args) {
    const Gp at = value(Arg(static_cast<int64_t>(reinterpret_cast<intptr_t>(function))));
    asmjit::InvokeNode* node = nullptr;
    cc.invoke(&node, at, Signature(args.size()));
    for (size_t i = 0; i < args.size(); ++i) made(node).setArg(i, reg(args[i].reg));
  }

  asmjit::CodeHolder code_;
  FirstError error_;
  std::vector<Function> functions_;
  std::vector<Gp> ints_;
  std::vector<Reg> vecs_;
};

}  // namespace kiln::native
