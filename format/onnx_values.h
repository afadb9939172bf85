// The values of an .onnx file: its inputs, weights and constants, and what nodes compute.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <tuple>

#include "format/onnx_file.h"
#include "format/onnx_proto.h"

namespace kiln {

class OnnxValues {
 public:
  /// `of_bytes`: `file` is the skeleton of a file of so many bytes.
  explicit OnnxValues(std::string_view file, int64_t of_bytes = -1);

  /// Takes note of what is about to be unfolded: so many bytes, and texts, which will be shown to people.
  Status unfold(size_t bytes, const std::string& where, std::initializer_list<std::string_view> texts = {});

  Result<ValueId> input(const onnx::Port& port);
  /// A weight, or a constant that the compiler may look at. The same tensor, again, is the same value.
  Result<ValueId> tensor(const onnx::Tensor& t);
  /// The same, of a tensor that lives no longer than the call.
  Result<ValueId> made_tensor(const onnx::Tensor& t);
  /// What a node computes, of a type that nobody states.
  Result<ValueId> computed(std::string_view name);

  OnnxModel out;

 private:
  Status store(const onnx::Tensor& t, ValueId id, int64_t bytes);
  Status within_file(const onnx::Tensor& t, int64_t bytes);
  int symbol(const std::string& name);

  std::string_view file_;
  int64_t of_bytes_, unclaimed_;  ///< of a skeleton: bytes of its file, and how many of them no tensor has
  int64_t left_;
  std::map<std::string, int> symbols_;
  std::map<const onnx::Tensor*, ValueId> tensors_;
  std::map<std::tuple<std::string, int64_t, int64_t>, int> shared_;  ///< file, offset, size of external data → segment
};

Error bad_onnx(std::string message, std::string where = "");
Error unsupported_onnx(std::string message, std::string where = "");
/// A name as messages show it: short, and without what cannot be shown.
std::string quoted(std::string_view name);

}  // namespace kiln
