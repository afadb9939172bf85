#include "support/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace kiln {
namespace {

TEST(JsonText, IsReadByAParser) {
  JsonText out;
  out.open('{').key("empty").open('[').close(']').key("none").open('{').close('}');
  out.key("numbers").numbers({0, -7, int64_t{1} << 53}).key("half").number(0.5).key("yes").boolean(true);
  out.key("rows").open('[');
  for (int64_t i = 0; i < 3; ++i) out.open('{').key("i").number(i).close('}');
  out.close(']').key("last").string("").close('}');
  const auto read = nlohmann::json::parse(out.str(), nullptr, false);
  ASSERT_FALSE(read.is_discarded()) << out.str();
  EXPECT_EQ(read, (nlohmann::json{{"empty", nlohmann::json::array()},
                                  {"none", nlohmann::json::object()},
                                  {"numbers", {0, -7, int64_t{1} << 53}},
                                  {"half", 0.5},
                                  {"yes", true},
                                  {"rows", {{{"i", 0}}, {{"i", 1}}, {{"i", 2}}}},
                                  {"last", ""}}));
}

TEST(JsonText, StringsComeBackWhateverTheyHold) {
  std::string all = "\"\\,:[]{}é漢";
  for (char c = 0; c < 0x20; ++c) all += c;
  for (const std::string& text : {all, std::string("ends with a bracket ["), std::string("{"), std::string(",")}) {
    JsonText out;
    out.open('[').string(text).string(text).close(']');
    const auto read = nlohmann::json::parse(out.str(), nullptr, false);
    ASSERT_FALSE(read.is_discarded()) << out.str();
    EXPECT_EQ(read, (nlohmann::json{text, text}));
  }
}

}  // namespace
}  // namespace kiln
