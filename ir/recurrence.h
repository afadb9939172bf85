// LSTM, GRU and RNN as canonical nodes: the inputs of all steps in one product, then a loop with the product of the
// state, and the gates. docs/decisions/0049-recurrence.md has why.
#pragma once

#include <vector>

#include "ir/builder.h"
#include "support/function_ref.h"

namespace kiln {

enum class Cell : uint8_t { rnn, gru, lstm };

/// One direction of one layer. Where each gate stands among the rows of w and r: of an LSTM input, output, forget,
/// cell; of a GRU update, reset, new.
struct Recurrence {
  Cell cell = Cell::rnn;
  std::vector<int64_t> gates{0};
  ValueId w = kNoValue, r = kNoValue;            ///< [gates·hidden, inputs], [gates·hidden, state]
  ValueId w_bias = kNoValue, r_bias = kNoValue;  ///< [gates·hidden]
  ValueId peepholes = kNoValue;                  ///< [3·hidden], of input, output, forget
  ValueId projection = kNoValue;                 ///< [state, hidden]: the state is a projection of the result
  ValueId lengths = kNoValue;                    ///< [batch], i64: steps beyond leave the state and are zeros
  ValueId state = kNoValue, memory = kNoValue;   ///< [batch, state], [batch, hidden]; zeros where there is none
  bool backwards = false;
  bool reset_after = false;  ///< of a GRU: the reset gate applies to the product of the state
  bool coupled = false;      ///< of an LSTM: the forget gate is 1 minus the input gate
  double clip = 0;           ///< of what goes into the gates; 0: none
  /// Of the gates; of what becomes the state, or is added to an LSTM's memory; of an LSTM's memory.
  std::vector<FunctionRef<Term(Fx&, Term)>> activations;
};

struct Recurred {
  ValueId all = kNoValue;                       ///< [steps, batch, state]
  ValueId state = kNoValue, memory = kNoValue;  ///< after the last step
};

/// x: [steps, batch, inputs], float32.
Result<Recurred> recur(Builder& b, ValueId x, const Recurrence& recurrence);

}  // namespace kiln
