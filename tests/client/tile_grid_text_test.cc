#include "client/tile_grid_text.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "tests/client/drawn_wave.h"

namespace bwrt::client {
namespace {

TEST(TileGridText, TruncatedSnake) {
  EXPECT_EQ(TileGridText(TruncatedSnake().Draw()), R"(wave: M=256 N=384 K=512
grid    2 x 3 tiles of 128 x 128, bk 64
tiles   5 listed, 1 appended, 0 dropped, 0 omitted
tokens  P=5 prefetch, T=5 tiles
window  [5,10): open while tiles 1..5 (and appended 6) run and between waves; closed during prefetch

m\n   0    1    2
    +----+----+----+
  0 | 1  | 2  | 3  |
    +----+----+----+
  1 | 6+ | 5  | 4  |
    +----+----+----+
    + appended by COMPLETE

index   0 1 2 3 4   5 6 7 8 9
tokens  p p p p p | 1 2 3 4 5+
window              ^^^^^^^^^^ [5,10)
)");
}

TEST(TileGridText, PeeledTailsRunLast) {
  EXPECT_EQ(TileGridText(PeeledTails().Draw()), R"(wave: M=300 N=300 K=512
grid    3 x 3 tiles of 128 x 128, bk 64
tiles   9 listed, 0 appended, 0 dropped, 0 omitted
tokens  P=2 prefetch, T=9 tiles
window  [1,4): open during prefetch 2 and while tiles 1..2 run; closed during prefetch 1, while tiles 3..9 run and between waves

m\n   0    1    2
    +----+----+----+
  0 | 1  | 3  | 5~ |
    +----+----+----+
  1 | 2  | 4  | 6~ |
    +----+----+----+
  2 | 7~ | 8~ | 9~ |
    +----+----+----+
    ~ partial: PEEL runs it last, at its own size

index   0 1   2 3 4 5 6 7 8 9 10
tokens  p p | 1 2 3 4 5 6 7 8 9
window    ^^^^^^^ [1,4)
)");
}

TEST(TileGridText, AppendedTilesThatPeelRunsBeforeListedOnes) {
  EXPECT_EQ(TileGridText(PeeledAndAppended().Draw()), R"(wave: M=300 N=300 K=512
grid    3 x 3 tiles of 128 x 128, bk 64
tiles   4 listed, 5 appended, 0 dropped, 0 omitted
tokens  P=2 prefetch, T=4 tiles
window  [5,6): open while tiles 6 (and appended 7..9) run and between waves; closed during prefetch and while tiles 1..2 and 5 (and appended 3..4) run

m\n   0     1     2
    +-----+-----+-----+
  0 | 1   | 3+  | 5~  |
    +-----+-----+-----+
  1 | 2   | 4+  | 7+~ |
    +-----+-----+-----+
  2 | 6~  | 8+~ | 9+~ |
    +-----+-----+-----+
    + appended by COMPLETE; ~ partial: PEEL runs it last, at its own size

index   0 1   2 3 4 5
tokens  p p | 1 2 5 6+
window              ^^ [5,6)
)");
}

TEST(TileGridText, DroppedTailsKeepTheirPlaces) {
  EXPECT_EQ(TileGridText(DroppedTails().Draw()), R"(wave: M=300 N=300 K=512
grid    3 x 3 tiles of 128 x 128, bk 64
tiles   3 listed, 6 appended, 5 dropped, 0 omitted
tokens  P=0 prefetch, T=3 tiles
window  [0,2): open while tiles 1..2 run; closed while tiles 3 (and appended 4..9) run and between waves

m\n   0     1     2
    +-----+-----+-----+
  0 | 4+  | 2   | 1x  |
    +-----+-----+-----+
  1 | 5+  | 6+  | 7+x |
    +-----+-----+-----+
  2 | 3x  | 8+x | 9+x |
    +-----+-----+-----+
    + appended by COMPLETE; x dropped by DROP

index   0  1 2
tokens  1x 2 3x+
window  ^^^^ [0,2)
)");
}

TEST(TileGridText, OmittedTilesAndAWindowThatNeverOpens) {
  EXPECT_EQ(TileGridText(PartOfTheGrid().Draw()), R"(wave: M=256 N=256 K=512
grid    2 x 2 tiles of 128 x 128, bk 64
tiles   2 listed, 0 appended, 0 dropped, 2 omitted
tokens  P=1 prefetch, T=2 tiles
window  [20,21): never open: the last token is 2

m\n   0   1
    +---+---+
  0 | 2 | . |
    +---+---+
  1 | . | 1 |
    +---+---+
    . omitted by PARTIAL

index   0   1 2
tokens  p | 1 2
window  [20,21)
)");
}

TEST(TileGridText, SingleTile) {
  EXPECT_EQ(TileGridText(SingleTile().Draw()), R"(wave: M=128 N=128 K=512
grid    1 x 1 tiles of 128 x 128, bk 64
tiles   1 listed, 0 appended, 0 dropped, 0 omitted
tokens  P=0 prefetch, T=1 tiles
window  [0,1): always open

m\n   0
    +---+
  0 | 1 |
    +---+

index   0
tokens  1
window  ^ [0,1)
)");
}

TEST(TileGridText, ALargeGridIsCutAndSaysSo) {
  DrawnWave wave = LargeGrid(33, 40);
  wave.prefetch = 20;
  wave.swap_begin = 10;
  wave.swap_end = 100;
  const std::string text = TileGridText(wave.Draw());
  EXPECT_TRUE(absl::StrContains(text, "\nthe first 32 x 32 of 33 x 40 tiles:\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "\n 31 | 1241 | 1242 |")) << text;
  EXPECT_FALSE(absl::StrContains(text, "1281 |")) << text;
  EXPECT_TRUE(absl::StrContains(text, R"(
index   0 1 .. 9 10 .. 18 19   20 21 .. 99 100 .. 1338 1339
tokens  p p .. p p  .. p  p  | 1  2  .. 80 81  .. 1319 1320
window           ^^^^^^^^^^^^^^^^^^^^^^^^^ [10,100)
)")) << text;
}

TEST(TileGridText, AnOrderThatEndsEarlyIsNotTakenForOmission) {
  DrawnWave wave = SingleTile();
  wave.n = 256;
  wave.listed = 2;
  const std::string text = TileGridText(wave.Draw());
  EXPECT_TRUE(absl::StrContains(text, "  0 | 1 | ? |")) << text;
  EXPECT_TRUE(absl::StrContains(text, "? not told")) << text;
}

TEST(WindowInWords, SaysWhatIsOpenAndWhatIsNot) {
  const auto words = [](int64_t begin, int64_t end) {
    DrawnWave wave = TruncatedSnake();
    wave.swap_begin = begin;
    wave.swap_end = end;
    return WindowInWords(wave.Draw());
  };
  EXPECT_EQ(words(0, 10), "always open");
  EXPECT_EQ(words(0, 5), "open during prefetch; closed while tiles 1..5 (and appended 6) run and between waves");
  EXPECT_EQ(words(2, 4),
            "open during prefetch 3..4; closed during prefetch 1..2 and 5, while tiles 1..5 (and appended 6) run and "
            "between waves");
  EXPECT_EQ(words(6, 7),
            "open while tile 2 runs; closed during prefetch, while tiles 1 and 3..5 (and appended 6) run and between "
            "waves");
  EXPECT_EQ(words(9, 20),
            "open while tiles 5 (and appended 6) run and between waves; closed during prefetch and while tiles 1..4 "
            "run");
  EXPECT_EQ(words(10, 11), "never open: the last token is 9");
}

// Once an appended tile has started the last token, 5, no window that ends before it can hold the clock.
TEST(WindowInWords, AppendedTilesBeforeListedOnesHoldTheClockOpen) {
  const auto words = [](int64_t begin, int64_t end) {
    DrawnWave wave = PeeledAndAppended();
    wave.swap_begin = begin;
    wave.swap_end = end;
    return WindowInWords(wave.Draw());
  };
  EXPECT_EQ(words(0, 6), "always open");
  EXPECT_EQ(
      words(4, 6),
      "open while tiles 5..6 (and appended 3..4 and 7..9) run and between waves; closed during prefetch and while "
      "tiles 1..2 run");
  EXPECT_EQ(words(2, 5),
            "open while tiles 1..2 run; closed during prefetch, while tiles 5..6 (and appended 3..4 and 7..9) run and "
            "between waves");
  EXPECT_EQ(words(4, 5), "never open: appended tiles start the last token early; the last token is 5");
}

TEST(WindowInWords, GuessesNoPlacesThatPeelHasMixed) {
  DrawnWave wave = PeeledAndAppended();
  wave.order.resize(3);
  wave.appended = {2};
  TileDrawing drawing = wave.Draw();
  drawing.appended = 5;
  EXPECT_EQ(WindowInWords(drawing), "not told in tiles: the answer holds only the start of the order");
  EXPECT_TRUE(absl::StrContains(TileGridText(drawing), "\ntokens  p p | 1 2 ? ?+\n")) << TileGridText(drawing);
}

}  // namespace
}  // namespace bwrt::client
