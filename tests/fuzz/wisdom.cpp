// libFuzzer on wisdom, which pages may get from anywhere. Accepted wisdom is written as it was read, and its schedules
// can be checked for feasibility.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tuner/tuner.h"

using namespace kiln;

namespace {

void judge(const Schedule& schedule) {
  ContractionSpec product, convolution;
  product.ow = 49, product.n = 33, product.k = 17;
  product.a_col = product.a_tap_col = 17, product.c_col = 33;
  convolution = product;
  convolution.oh = convolution.ow = 7, convolution.kh = convolution.kw = 3;
  DepthwiseSpec depthwise;
  depthwise.oh = depthwise.ow = 7, depthwise.c = 20, depthwise.kh = depthwise.kw = 3;
  const Target target = wasm_target(true, true);
  for (const KernelSpec& spec : {KernelSpec(product), KernelSpec(convolution), KernelSpec(depthwise)}) {
    const Family& family = family_of(spec);
    if (!family.feasible(spec, schedule, target)) continue;
    if (family.units(spec, schedule, target) < 1 || family.scratch_bytes(spec, schedule, target) < 0) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto wisdom = Wisdom::parse({reinterpret_cast<const char*>(data), size});
  if (!wisdom) return 0;
  const std::string text = wisdom->to_json();
  auto again = Wisdom::parse(text);
  if (!again || again->to_json() != text) std::abort();
  again->merge(*wisdom);
  if (again->to_json() != text) std::abort();
  const auto root = nlohmann::json::parse(text);
  for (const auto& entry : root["entries"]) judge(*parse_schedule(entry["schedule"].get<std::string>()));
  return 0;
}
