// In compiler.wasm, in the place of what only compiler-full.wasm has (CMakeLists.txt lists the files): rows that are
// not there, and what no graph without them asks for.
#include "ir/legalizer.h"
#include "ir/lower/lowering.h"
#include "ir/onnx/find.h"
#include "ir/ops/volume.h"

namespace kiln {

const bool kFull = false;

std::vector<OpRow> onnx_ops() { return {}; }
Status onnx_all_read(const Legalizer&, const Node&, const std::vector<int>&) { return ok(); }
bool states_no_types(const Graph&) { return false; }
Result<Graph> find_spelled_out(Graph graph) { return graph; }

std::vector<OpRow> loss_ops() { return {}; }
std::vector<OpRow> recurrent_ops() { return {}; }
std::vector<OpRow> sample_ops() { return {}; }
std::vector<OpRow> scatter_ops() { return {}; }
std::vector<OpRow> sort_ops() { return {}; }
Status Legalizer::follow_bounds(const Node&, size_t) { return ok(); }
Status Legalizer::state_bounds() { return ok(); }
std::vector<OpRow> volume_ops() { return {}; }
Status convolve_volume(Legalizer&, const Node& node) {
  return Error{ErrorCode::incomplete, "only the full compiler has convolutions in three dims", node.where};
}
Status Lowering::lower_scatter(const Node& node) { return unsupported(node, "scattering"); }
void Lowering::lower_branch(const Node&) {}
void Lowering::lower_join(const Node&) {}
void Lowering::lower_loop(const Node&) {}
void Lowering::lower_end_loop(const Node&) {}
Status Lowering::lower_sort(const Node& node) { return unsupported(node, "sorting"); }

}  // namespace kiln
