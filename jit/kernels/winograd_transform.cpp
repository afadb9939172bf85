#include "jit/kernels/winograd_transform.h"

#include <algorithm>
#include <cmath>

namespace kiln {
namespace {

/// Interpolation is at 0 (with three taps), at plus and minus each of these, and at infinity. ±3/4 and ±3/2 instead of
/// the usual ±1 and ±2 make the error of F(4,3) a fifth. ±1/2 and ±3/2 make that of F(4,2) a sixth. Their powers are
/// exact floats.
std::vector<double> points_of(WinogradForm form) {
  if (form.m == 2) return {1};
  return {form.taps() == 3 ? 0.75 : 0.5, 1.5};
}
bool has_zero(WinogradForm form) { return form.taps() == 3; }

}  // namespace

int WinogradTransform::sum(std::vector<Term> terms) {
  const auto plain = std::find_if(terms.begin(), terms.end(), [](const Term& t) { return t.factor == 1; });
  int acc = -1;
  if (plain != terms.end()) {
    acc = plain->of;
    terms.erase(plain);
  }
  for (const Term& t : terms) {
    steps_.push_back({acc, static_cast<float>(t.factor), t.of});
    acc = values_++;
  }
  return acc;
}

int WinogradTransform::even_polynomial(const std::vector<double>& points, size_t skip, int start) {
  std::vector<double> c{1};
  for (size_t i = 0; i < points.size(); ++i) {
    if (i == skip) continue;
    c.insert(c.begin(), 0);  // times X
    for (size_t k = 0; k + 1 < c.size(); ++k) c[k] -= points[i] * points[i] * c[k + 1];
  }
  std::vector<Term> terms;
  for (size_t k = c.size(); k-- > 0;) terms.push_back({c[k], start + 2 * static_cast<int>(k)});
  return sum(terms);
}

WinogradTransform WinogradTransform::input(Emitter& e, WinogradForm form) {
  WinogradTransform t(e, form.points());
  const std::vector<double> points = points_of(form);
  const int zero = has_zero(form);
  if (zero) t.outputs_.push_back(t.even_polynomial(points, points.size(), 0));
  for (size_t i = 0; i < points.size(); ++i) {
    const int high = t.even_polynomial(points, i, zero + 1), low = t.even_polynomial(points, i, zero);
    for (double p : {points[i], -points[i]}) t.outputs_.push_back(t.sum({{1, high}, {p, low}}));
  }
  t.finite_ = t.steps_.size();
  t.outputs_.push_back(t.even_polynomial(points, points.size(), zero));
  return t.load_constants();
}

WinogradTransform WinogradTransform::output(Emitter& e, WinogradForm form) {
  WinogradTransform t(e, form.points());
  const std::vector<double> points = points_of(form);
  const int zero = has_zero(form), m = form.m;
  std::vector<int> sums, differences;
  for (int i = 0; i < static_cast<int>(points.size()); ++i) {
    const int plus = zero + 2 * i, minus = plus + 1;
    sums.push_back(t.sum({{1, plus}, {1, minus}}));
    differences.push_back(t.sum({{1, plus}, {-1, minus}}));
  }
  for (int row = 0; row < m; ++row) {
    std::vector<Term> terms;
    if (row == 0 && zero) terms.push_back({1, 0});
    if (row == m - 1) terms.push_back({1, form.points() - 1});
    for (size_t i = 0; i < points.size(); ++i)
      terms.push_back({std::pow(points[i], row), (row % 2 ? differences : sums)[i]});
    t.outputs_.push_back(t.sum(terms));
  }
  return t.load_constants();
}

WinogradTransform WinogradTransform::weights(Emitter& e, WinogradForm form, int taps) {
  WinogradTransform t(e, taps);
  const std::vector<double> points = points_of(form);
  if (has_zero(form)) {
    double at_zero = 1;
    for (double p : points) at_zero *= -p * p;
    t.outputs_.push_back(t.sum({{1 / at_zero, 0}}));
  }
  for (double p : points) {
    double scale = 1 / (2 * p * (has_zero(form) ? p : 1));
    for (double q : points)
      if (q != p) scale /= p * p - q * q;
    if (has_zero(form)) {
      const int even = t.sum({{scale, 0}, {scale * p * p, 2}});
      for (double sign : {1.0, -1.0}) t.outputs_.push_back(t.sum({{1, even}, {sign * scale * p, 1}}));
      continue;
    }
    for (double sign : {1.0, -1.0}) {
      std::vector<Term> terms{{sign * scale, 0}};
      if (taps > 1) terms.push_back({scale * p, 1});
      t.outputs_.push_back(t.sum(terms));
    }
  }
  if (taps > 1) t.outputs_.push_back(taps - 1);
  return t.load_constants();
}

WinogradTransform& WinogradTransform::load_constants() {
  for (const Step& s : steps_) {
    const float c = std::abs(s.factor);
    const bool plain = s.sum >= 0 && c == 1;
    if (plain || std::any_of(constants_.begin(), constants_.end(), [&](const auto& k) { return k.first == c; }))
      continue;
    constants_.emplace_back(c, e_->vec());
    e_->splat(constants_.back().second, c);
  }
  return *this;
}

std::vector<Vec> WinogradTransform::apply(const std::vector<Vec>& inputs) {
  const bool infinity = static_cast<int>(inputs.size()) == inputs_;
  std::vector<Vec> values = inputs;
  values.resize(static_cast<size_t>(inputs_), inputs[0]);
  for (size_t i = 0; i < (infinity ? steps_.size() : finite_); ++i) {
    const Step& s = steps_[i];
    const Vec to = e_->vec(), of = values[static_cast<size_t>(s.of)];
    const float c = std::abs(s.factor);
    const auto found = std::find_if(constants_.begin(), constants_.end(), [&](const auto& k) { return k.first == c; });
    if (s.sum < 0) {
      e_->op(VecBinary::mul, to, of, found->second);
      if (s.factor < 0) e_->op(VecUnary::neg, to, to);
    } else {
      const Vec sum = values[static_cast<size_t>(s.sum)];
      if (c == 1)
        e_->op(s.factor > 0 ? VecBinary::add : VecBinary::sub, to, sum, of);
      else if (s.factor > 0)
        e_->madd(to, of, found->second, sum);
      else
        e_->nmadd(to, of, found->second, sum);
    }
    values.push_back(to);
  }
  std::vector<Vec> out;
  for (size_t i = 0; i < outputs_.size() - !infinity; ++i) out.push_back(values[static_cast<size_t>(outputs_[i])]);
  return out;
}

}  // namespace kiln
