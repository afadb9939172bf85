// What every row of the table of families promises of its spec: the list of fields is complete, the text names each of
// them, and the text gives the spec back.
#include <gtest/gtest.h>

#include <set>

#include "jit/family.h"
#include "jit/touch.h"
#include "tests/support/spec_fields.h"

namespace kiln {
namespace {

using testing::changed;
using testing::empty_specs;
using testing::parse_spec;

constexpr uint32_t kSeeds = 200;

// -- how many members a struct has: as many as can be initialised from anything

struct Anything {
  template <class T>
  operator T() const;
};
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"  // that fewer are given is the question
template <class T, class... A, class = decltype(T{std::declval<A>()...})>
constexpr bool takes(int) {
  return true;
}
template <class T, class... A>
constexpr bool takes(...) {
  return false;
}
template <class T, class... A>
constexpr size_t members() {
  if constexpr (takes<T, A..., Anything>(0))
    return members<T, A..., Anything>();
  else
    return sizeof...(A);
}
template <class T, class = decltype(T::epilogue)>
constexpr size_t parts_of_members(int) {  // an epilogue is two fields
  return members<T>() - 1 + members<Epilogue>();
}
template <class T>
constexpr size_t parts_of_members(...) {
  return std::is_same_v<T, MapSpec> ? members<T>() - 1 + members<StridedOperand>() : members<T>();
}

TEST(KernelSpec, EveryMemberIsAField) {
  for (const KernelSpec& spec : empty_specs()) {
    std::set<size_t> offsets;
    for (const Field& field : fields_of(spec)) offsets.insert(field.offset);
    EXPECT_EQ(offsets.size(), fields_of(spec).count) << family_name(spec) << " names a field twice";
    std::visit([&](const auto& s) { EXPECT_EQ(offsets.size(), parts_of_members<std::decay_t<decltype(s)>>(0)); }, spec);
    EXPECT_FALSE(HasFailure()) << family_name(spec);
  }
}

TEST(KernelSpec, TextNamesEveryField) {
  std::mt19937 random(1);
  for (const KernelSpec& empty : empty_specs())
    for (uint32_t seed = 0; seed < kSeeds; ++seed) {
      KernelSpec spec = empty;
      testing::fill(spec, random);
      std::set<std::string> texts{to_string(spec)};
      const std::vector<KernelSpec> others = changed(spec);
      for (const KernelSpec& other : others) texts.insert(to_string(other));
      ASSERT_EQ(texts.size(), others.size() + 1) << "two of these differ, their texts do not: " << to_string(spec);
    }
}

TEST(KernelSpec, TextGivesTheSpecBack) {
  std::mt19937 random(2);
  for (const KernelSpec& empty : empty_specs())
    for (uint32_t seed = 0; seed < kSeeds; ++seed) {
      KernelSpec spec = empty;
      testing::fill(spec, random);
      const std::string text = to_string(spec);
      const auto back = parse_spec(text);
      ASSERT_TRUE(back) << text;
      ASSERT_EQ(to_string(*back), text);
      ASSERT_EQ(back->index(), spec.index());
    }
  EXPECT_FALSE(parse_spec("gather n=2"));
  EXPECT_FALSE(parse_spec("nothing"));
}

/// Wisdom files are keyed by texts: these are of files that exist.
TEST(KernelSpec, TextsStay) {
  ContractionSpec c;
  c.kh = c.kw = 3, c.k = 64, c.n = 32, c.winograd = 4, c.strassen = c.int16 = true;
  c.epilogue = {identity_expr(), {{DType::f32, {0, 0, 0, 0, 1}}}};
  EXPECT_EQ(to_string(c),
            "contraction b=1x1 ab=0x0 bb=0x0 cb=0x0 o=1x1 k=3x3x64 n=32 a=0x0 at=0x0 c=0x0 br=0x0 w=4 "
            "strassen=1 int16=1 epi=in0 t=float32 s=0x0x0x0x1");
  GatherSpec g;
  g.dims = {2, 3}, g.rounded = true;
  EXPECT_EQ(to_string(g), "gather n=2x3 so= st= si= rows=1x0x1 t=float32 ti=int64 weights=int16");
  AttentionSpec a;
  a.late = 2, a.late_k_batch = {5, 6};
  const std::string product = to_string(ContractionSpec{});
  EXPECT_EQ(to_string(a), "attention scores=" + product + " values=" + product + " rows=0x0 late=2x0x0 lk=5x6 lv=0x0");
  NormSpec n;
  n.rows = {4}, n.eps = 1e-5f, n.masked = true;
  EXPECT_EQ(to_string(n), "norm kind=0 rows=4 ir= or= cols=1 eps=9.99999975e-06 sc=0x0x1");
}

/// Results come first, and what is counted without a schedule is what there is with one.
TEST(KernelSpec, OperandsAreCounted) {
  for (const KernelSpec& empty : empty_specs()) {
    Operands with(Schedule{}, INT32_MAX);
    family_of(empty).operands(empty, with);
    EXPECT_EQ(static_cast<int>(with.count()), num_operands(empty)) << family_name(empty);
    EXPECT_GE(num_written(empty), 1u) << family_name(empty);
    const std::vector<Operands::Operand> list = operands_of(empty, Schedule{});
    for (size_t i = 0; i < list.size(); ++i) EXPECT_EQ(list[i].written, i < num_written(empty)) << family_name(empty);
  }
  NormSpec norm;
  norm.has_scale = true;
  norm.epilogue.operands.resize(2);
  EXPECT_EQ(num_operands(norm), 5);
  EXPECT_EQ(num_operands(GatherSpec{}), 4);
  EXPECT_STREQ(family_name(norm), "norm");
}

}  // namespace
}  // namespace kiln
