#pragma once

#include <vector>

#include "ir/iteration.h"
#include "wasm.h"

namespace wasm {

/// The children whose values an expression takes, in the order in which they run: what ValueChildIterator finds,
/// quickly for the kinds that most expressions are of. Its constructor has a case for every kind there is.
class Values {
 public:
  explicit Values(Expression* curr) { find(curr); }

  Expression* const* begin() const { return first_; }
  Expression* const* end() const { return first_ + count_; }

 private:
  void find(Expression* curr) {
    switch (curr->_id) {
      case Expression::LocalGetId:
      case Expression::ConstId:
      case Expression::BlockId:
      case Expression::LoopId:
        return;
      case Expression::LocalSetId:
        return add(curr->cast<LocalSet>()->value);
      case Expression::IfId:
        return add(curr->cast<If>()->condition);
      case Expression::BreakId:
        if (curr->cast<Break>()->value) return add_all(curr);
        if (curr->cast<Break>()->condition) add(curr->cast<Break>()->condition);
        return;
      case Expression::CallId:
        count_ = curr->cast<Call>()->operands.size();
        if (count_ > 0) first_ = &curr->cast<Call>()->operands[0];
        return;
      case Expression::UnaryId:
        return add(curr->cast<Unary>()->value);
      case Expression::LoadId:
        return add(curr->cast<Load>()->ptr);
      case Expression::SIMDLoadId:
        return add(curr->cast<SIMDLoad>()->ptr);
      case Expression::BinaryId:
        add(curr->cast<Binary>()->left);
        return add(curr->cast<Binary>()->right);
      case Expression::StoreId:
        add(curr->cast<Store>()->ptr);
        return add(curr->cast<Store>()->value);
      case Expression::SIMDTernaryId:
        add(curr->cast<SIMDTernary>()->a);
        add(curr->cast<SIMDTernary>()->b);
        return add(curr->cast<SIMDTernary>()->c);
      default:
        add_all(curr);
    }
  }

  void add(Expression* child) { few_[count_++] = child; }
  __attribute__((noinline)) void add_all(Expression* curr) {
    for (Expression* child : ValueChildIterator(curr)) many_.push_back(child);
    first_ = many_.data();
    count_ = many_.size();
  }

  Expression* few_[3];
  std::vector<Expression*> many_;
  Expression* const* first_ = few_;
  size_t count_ = 0;
};

}  // namespace wasm
