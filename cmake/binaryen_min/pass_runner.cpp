// What the binary writer needs of Binaryen's pass machinery, in place of passes/pass.cpp, whose registry of all passes
// would link the whole optimiser: run every pass over the module or over each function, in order. And a Stack IR
// optimiser that leaves things be.
#include "pass.h"
#include "wasm-stack.h"

namespace wasm {

void PassRunner::doAdd(std::unique_ptr<Pass> pass) { passes.emplace_back(std::move(pass)); }

void PassRunner::run() {
  for (auto& pass : passes) {
    if (!pass->isFunctionParallel()) {
      pass->setPassRunner(this);
      pass->run(wasm);
      continue;
    }
    for (auto& function : wasm->functions) {
      if (function->imported()) continue;
      auto instance = pass->create();
      instance->setPassRunner(this);
      instance->runOnFunction(wasm, function.get());
    }
  }
}

StackIROptimizer::StackIROptimizer(Function* f, StackIR& i, const PassOptions& p, FeatureSet features)
    : func(f), insts(i), passOptions(p), features(features) {}
void StackIROptimizer::run() {}

}  // namespace wasm
