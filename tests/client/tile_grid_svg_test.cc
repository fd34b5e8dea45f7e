#include "client/tile_grid_svg.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "client/svg_writer.h"
#include "tests/client/drawn_wave.h"

namespace bwrt::client {
namespace {

struct Element {
  std::string name;
  std::map<std::string, std::string> attributes;

  double Number(const std::string& attribute) const {
    double value = -1e9;
    const auto at = attributes.find(attribute);
    EXPECT_TRUE(at != attributes.end() && absl::SimpleAtod(at->second, &value)) << name << " " << attribute;
    return value;
  }
  double End() const { return Number("x") + Number("width"); }
};

bool IsName(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-'; }

// Reads a document, with a failure where it is not well-formed XML of the few forms that the writer has.
class Reader {
 public:
  explicit Reader(absl::string_view document) : rest_(document) {}

  std::vector<Element> Read() {
    while (!rest_.empty() && !testing::Test::HasFailure()) {
      if (absl::ConsumePrefix(&rest_, "</")) {
        Close(Name());
        Expect(">");
      } else if (absl::ConsumePrefix(&rest_, "<")) {
        ReadStart();
      } else {
        ReadText("<");
      }
    }
    EXPECT_TRUE(open_.empty());
    return std::move(elements_);
  }

 private:
  void Close(const std::string& name) {
    ASSERT_FALSE(open_.empty()) << name;
    EXPECT_EQ(open_.back(), name);
    open_.pop_back();
  }

  void Expect(absl::string_view text) { EXPECT_TRUE(absl::ConsumePrefix(&rest_, text)) << rest_.substr(0, 80); }

  std::string Name() {
    size_t size = 0;
    while (size < rest_.size() && IsName(rest_[size])) ++size;
    std::string name(rest_.substr(0, size));
    rest_.remove_prefix(size);
    EXPECT_FALSE(name.empty()) << rest_.substr(0, 80);
    return name;
  }

  // Up to, not including, `end`.
  std::string ReadText(absl::string_view end) {
    std::string text(rest_.substr(0, rest_.find(end)));
    rest_.remove_prefix(text.size());
    EXPECT_EQ(text.find_first_of("<>"), std::string::npos) << text;
    for (size_t at = text.find('&'); at != std::string::npos; at = text.find('&', at + 1)) {
      const std::string entity = text.substr(at, text.find(';', at) + 1 - at);
      EXPECT_TRUE(entity == "&amp;" || entity == "&lt;" || entity == "&gt;" || entity == "&quot;") << text;
    }
    for (const char c : text) EXPECT_TRUE(c == '\n' || !absl::ascii_iscntrl(static_cast<unsigned char>(c))) << text;
    return text;
  }

  void ReadStart() {
    Element element{.name = Name(), .attributes = {}};
    while (absl::ConsumePrefix(&rest_, " ")) {
      const std::string name = Name();
      Expect("=\"");
      EXPECT_TRUE(element.attributes.emplace(name, ReadText("\"")).second) << name << " twice";
      Expect("\"");
    }
    if (!absl::ConsumePrefix(&rest_, "/")) open_.push_back(element.name);
    Expect(">");
    elements_.push_back(std::move(element));
  }

  absl::string_view rest_;
  std::vector<std::string> open_;
  std::vector<Element> elements_;
};

std::vector<Element> Parse(const std::string& document) { return Reader(document).Read(); }

std::vector<Element> OfClass(const std::vector<Element>& elements, const std::string& name) {
  std::vector<Element> found;
  for (const Element& element : elements) {
    const auto at = element.attributes.find("class");
    if (at != element.attributes.end() && at->second == name) found.push_back(element);
  }
  return found;
}

// Points of the only path of that class; 0 where there is none.
int64_t PathPoints(const std::vector<Element>& elements, const std::string& name) {
  const std::vector<Element> paths = OfClass(elements, name);
  EXPECT_LE(paths.size(), 1u);
  if (paths.empty()) return 0;
  const std::string& data = paths[0].attributes.at("d");
  return std::count(data.begin(), data.end(), 'M') + std::count(data.begin(), data.end(), 'L');
}

TEST(TileGridSvg, TruncatedSnake) {
  const std::vector<Element> picture = Parse(TileGridSvg(TruncatedSnake().Draw()));
  EXPECT_EQ(picture[0].name, "svg");
  EXPECT_EQ(OfClass(picture, "tile listed").size(), 5u);
  ASSERT_EQ(OfClass(picture, "tile appended").size(), 1u);
  EXPECT_EQ(PathPoints(picture, "run"), 5);
  EXPECT_EQ(PathPoints(picture, "run appended"), 2);  // From the fifth tile to the sixth.
  EXPECT_EQ(OfClass(picture, "arrow").size(), 5u);

  const std::vector<Element> tokens = OfClass(picture, "token");
  ASSERT_EQ(tokens.size(), 10u);
  const std::vector<Element> window = OfClass(picture, "window");
  ASSERT_EQ(window.size(), 1u);
  EXPECT_DOUBLE_EQ(window[0].Number("x"), tokens[5].Number("x"));
  EXPECT_DOUBLE_EQ(window[0].End(), tokens[9].End());
  EXPECT_GT(window[0].Number("x"), tokens[4].End());
  // The last token holds the appended tile as well.
  EXPECT_GT(tokens[9].Number("width"), tokens[8].Number("width"));
}

TEST(TileGridSvg, ThePathGoesThroughTheCentres) {
  const std::vector<Element> picture = Parse(TileGridSvg(TruncatedSnake().Draw()));
  const Element first = OfClass(picture, "tile listed")[0];
  const Element last = OfClass(picture, "tile appended")[0];
  const auto centre = [](const Element& tile) {
    return SvgNumber(tile.Number("x") + tile.Number("width") / 2) + " " +
           SvgNumber(tile.Number("y") + tile.Number("height") / 2);
  };
  const std::string run = OfClass(picture, "run")[0].attributes.at("d");
  EXPECT_EQ(run.rfind("M " + centre(first) + " L", 0), 0u) << run;
  const std::string appended = OfClass(picture, "run appended")[0].attributes.at("d");
  const std::string end = " L " + centre(last);
  EXPECT_EQ(appended.substr(appended.size() - end.size()), end);
}

TEST(TileGridSvg, PartialTilesAreToScale) {
  const std::vector<Element> tiles = OfClass(Parse(TileGridSvg(PeeledTails().Draw())), "tile listed");
  ASSERT_EQ(tiles.size(), 9u);
  EXPECT_NEAR(tiles[2].Number("width"), tiles[0].Number("width") * 44 / 128, 0.1);
  EXPECT_DOUBLE_EQ(tiles[2].Number("height"), tiles[0].Number("height"));
  EXPECT_NEAR(tiles[8].Number("height"), tiles[0].Number("height") * 44 / 128, 0.1);
}

TEST(TileGridSvg, OnlyPadHasPadding) {
  DrawnWave wave = PeeledTails();
  EXPECT_TRUE(OfClass(Parse(TileGridSvg(wave.Draw())), "padding").empty());
  wave.tails = PAD;
  EXPECT_EQ(OfClass(Parse(TileGridSvg(wave.Draw())), "padding").size(), 1u);
}

// The texts of a document, in order.
std::vector<std::string> Texts(const std::string& document) {
  std::vector<std::string> texts;
  for (size_t at = document.find("<text"); at != std::string::npos; at = document.find("<text", at + 1)) {
    const size_t begin = document.find('>', at) + 1;
    texts.push_back(document.substr(begin, document.find('<', begin) - begin));
  }
  return texts;
}

TEST(TileGridSvg, AppendedTilesThatPeelRunsBeforeListedOnes) {
  const std::string document = TileGridSvg(PeeledAndAppended().Draw());
  const std::vector<Element> picture = Parse(document);
  EXPECT_EQ(OfClass(picture, "tile listed").size(), 4u);
  EXPECT_EQ(OfClass(picture, "tile appended").size(), 5u);
  // 1 to 2, then from 4 to 5 and 6; in between 2 to 3 and 4, and in the end 6 to 7, 8 and 9.
  EXPECT_EQ(PathPoints(picture, "run"), 2 + 3);
  EXPECT_EQ(PathPoints(picture, "run appended"), 3 + 4);
  EXPECT_EQ(OfClass(picture, "token").size(), 6u);

  // Each token's number over its index; the appended tiles are beside the last.
  const std::vector<std::string> texts = Texts(document);
  const std::vector<std::string> tokens = {"p", "0", "p", "1", "1", "2", "2", "3", "5", "4", "3..4, 7..9", "6", "5"};
  EXPECT_NE(std::search(texts.begin(), texts.end(), tokens.begin(), tokens.end()), texts.end())
      << testing::PrintToString(texts);
  const std::vector<Element> window = OfClass(picture, "window");
  ASSERT_EQ(window.size(), 1u);
  EXPECT_DOUBLE_EQ(window[0].End(), OfClass(picture, "token")[5].End());

  // The hues of the listed tiles go with their tokens, so that the last one has the darkest.
  const std::vector<Element> tiles = OfClass(picture, "tile listed");
  EXPECT_EQ(tiles[0].attributes.at("fill"), "#dbeafe");
  EXPECT_EQ(tiles[3].attributes.at("fill"), "#3b82f6");
}

TEST(TileGridSvg, AWindowThatAnAppendedTileShuts) {
  DrawnWave wave = PeeledAndAppended();
  wave.swap_begin = 4;
  wave.swap_end = 5;
  const std::string document = TileGridSvg(wave.Draw());
  EXPECT_TRUE(OfClass(Parse(document), "window").empty());
  const std::vector<std::string> texts = Texts(document);
  EXPECT_EQ(std::count(texts.begin(), texts.end(), "swap window [4,5): never open"), 1);
}

TEST(TileGridSvg, TheWayLeavesDroppedTilesOut) {
  const std::vector<Element> picture = Parse(TileGridSvg(DroppedTails().Draw()));
  EXPECT_EQ(OfClass(picture, "tile listed").size(), 1u);
  EXPECT_EQ(OfClass(picture, "tile appended").size(), 3u);
  EXPECT_EQ(OfClass(picture, "tile dropped").size(), 5u);
  EXPECT_EQ(PathPoints(picture, "run"), 1);
  EXPECT_EQ(PathPoints(picture, "run appended"), 4);
  EXPECT_EQ(OfClass(picture, "token").size(), 3u);
}

TEST(TileGridSvg, OmittedTilesAndAWindowThatNeverOpens) {
  const std::vector<Element> picture = Parse(TileGridSvg(PartOfTheGrid().Draw()));
  EXPECT_EQ(OfClass(picture, "tile omitted").size(), 2u);
  EXPECT_EQ(PathPoints(picture, "run"), 2);
  EXPECT_TRUE(OfClass(picture, "window").empty());
}

TEST(TileGridSvg, SingleTile) {
  const std::vector<Element> picture = Parse(TileGridSvg(SingleTile().Draw()));
  EXPECT_EQ(OfClass(picture, "tile listed").size(), 1u);
  EXPECT_EQ(PathPoints(picture, "run"), 1);
  EXPECT_TRUE(OfClass(picture, "arrow").empty());
}

TEST(TileGridSvg, ALargeGridIsCut) {
  DrawnWave wave = LargeGrid(40, 33);
  wave.swap_begin = 100;
  wave.swap_end = 900;
  const std::vector<Element> picture = Parse(TileGridSvg(wave.Draw()));
  EXPECT_EQ(OfClass(picture, "tile listed").size(), 32u * 32u);
  EXPECT_EQ(PathPoints(picture, "run"), 32 * 32);
  const std::vector<Element> tokens = OfClass(picture, "token");
  const std::vector<Element> window = OfClass(picture, "window");
  // 0 1 .. 99 | 100 .. 899 | 900 .. 1318 1319
  ASSERT_EQ(tokens.size(), 11u);
  ASSERT_EQ(window.size(), 1u);
  EXPECT_DOUBLE_EQ(window[0].Number("x"), tokens[4].Number("x"));
  EXPECT_DOUBLE_EQ(window[0].End(), tokens[6].End());
}

TEST(TileGridSvg, NamesAreEscaped) {
  TileDrawing drawing = SingleTile().Draw();
  drawing.name = "<a & \"b\">\x01";
  Parse(TileGridSvg(drawing));
}

}  // namespace
}  // namespace bwrt::client
