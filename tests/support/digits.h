// The digits model of the zoo, with one input and PyTorch's answer.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "runtime/native_session.h"

namespace kiln::testing {

struct Digits {
  static std::string path() { return "build/deps/models/digits/model.kiln"; }
  static std::vector<float> image() { return floats("inputs/image.bin"); }
  static std::vector<float> logits() { return floats("outputs/logits.bin"); }
  static InputView input(const std::vector<float>& image) {
    return {"image", DType::f32, {1, 1, 8, 8}, image.data(), static_cast<int64_t>(image.size() * 4)};
  }
  static OutputView output(std::vector<float>& logits) {
    return {"logits", logits.data(), static_cast<int64_t>(logits.size() * 4)};
  }

 private:
  static std::vector<float> floats(const std::string& file) {
    const auto text = read_text("build/deps/models/digits/" + file);
    std::vector<float> out(text ? text->size() / 4 : 0);
    if (text) std::memcpy(out.data(), text->data(), out.size() * 4);
    return out;
  }
};

}  // namespace kiln::testing
