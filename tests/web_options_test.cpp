#include "runtime/web_options.h"

#include <gtest/gtest.h>

namespace kiln::testing {
namespace {

TEST(WebOptions, EveryKey) {
  const auto o = parse_web_options(
      "device=zen\nprecision=exact\nthreads=3\nshared=1\nrelaxedSimd=1\nmemory64=1\n\nl1=49152\nl2=0\ndump=1\ndim.n=7\n"
      "dim.=9");
  ASSERT_TRUE(o.ok()) << o.error().message;
  EXPECT_EQ(o->compile.device.id, "zen");
  EXPECT_EQ(o->compile.precision, Precision::exact);
  EXPECT_EQ(o->compile.threads, 3);
  EXPECT_EQ(o->compile.device.threads, 3);
  EXPECT_TRUE(o->compile.target.threads && o->compile.target.fma && o->compile.target.memory64);
  EXPECT_EQ(o->compile.device.l1_bytes, 49152);
  EXPECT_EQ(o->compile.device.l2_bytes, Device{}.l2_bytes) << "0: not known";
  EXPECT_TRUE(o->dump);
  EXPECT_EQ(o->compile.dims.at("n"), 7);
}

TEST(WebOptions, NothingIsTheDefault) {
  const auto o = parse_web_options("");
  ASSERT_TRUE(o.ok());
  EXPECT_EQ(o->compile.threads, 1);
  EXPECT_EQ(o->compile.precision, Precision::balanced);
  EXPECT_FALSE(o->compile.target.threads || o->compile.target.fma || o->dump);
}

TEST(WebOptions, EveryPrecisionHasAName) {
  for (const auto& [name, precision] :
       {std::pair{"exact", Precision::exact}, std::pair{"balanced", Precision::balanced},
        std::pair{"fast", Precision::fast}}) {
    const auto o = parse_web_options("precision=" + std::string(name));
    ASSERT_TRUE(o.ok()) << name;
    EXPECT_EQ(o->compile.precision, precision) << name;
  }
}

TEST(WebOptions, WhatCannotBeIsRefused) {
  for (const char* text : {"threads", "threads=", "threads=0", "threads=257", "threads=2x", "threads=-1", "l1=x",
                           "precision=half", "precision=", "precision=Fast", "colour=1", "=1"}) {
    const auto o = parse_web_options(text);
    ASSERT_FALSE(o.ok()) << text;
    EXPECT_EQ(o.error().code, ErrorCode::bad_option) << text;
  }
}

}  // namespace
}  // namespace kiln::testing
