// What a file may unfold to. The tables, strings and lists of a head may each be referred to any number of times, and a
// node of it may stand for any number of steps: so that no small file takes all memory or hours, everything below is
// checked before memory is asked for, and what is over is refused. Models as they are exported stay far below.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kiln {

/// Bytes of the graph that is read from a head, what is shared counted as often as it is read: real ones take 3 to 5
/// times as many as the head.
constexpr int64_t unfolded_limit(int64_t head_bytes) { return (int64_t{4} << 20) + 16 * head_bytes; }
/// Bytes of a name, or of where a node comes from, which the label of each of its steps repeats.
constexpr size_t kMaxText = 4096;
/// Canonical nodes that one of the file becomes, with so many operands and results.
constexpr size_t node_limit(size_t operands) { return 128 + 8 * operands; }
/// Nodes of the file that are looked at in graphs inside of nodes, each as often as a loop is written out.
constexpr size_t kMaxLoopNodes = size_t{1} << 15;
/// Loops that stand for so few nodes are written out in any case.
constexpr size_t kFewLoopNodes = 256;
/// Bytes of constants that are made at compile time, ramps, masks, taps of resizing, all together.
constexpr int64_t kMaxConstantBytes = int64_t{64} << 20;
/// Elements that folding constants looks at; what is left after that is computed when the model is loaded.
constexpr int64_t kMaxFolding = int64_t{1} << 22;
/// Steps of a plan of so many nodes.
constexpr size_t step_limit(size_t nodes) { return 16384 + 64 * nodes; }
/// Operations, or numbers that are read and written, of all that is computed when a model with so many bytes of weights
/// is loaded: nobody can cancel it.
constexpr double load_limit(int64_t weights_bytes) { return 16e9 + 64 * static_cast<double>(weights_bytes); }
/// Nodes that an error lists.
constexpr int kMaxListed = 100;

}  // namespace kiln
