// Damaged files: what is lost is named, what is good is still offered, and nothing crashes.
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/error.h"
#include "runtime/state/json_text.h"
#include "runtime/state/ledger.h"
#include "runtime/state/manifest.h"
#include "runtime/state/record.h"
#include "runtime/state/state_store.h"
#include "tests/runtime/state/state_script.h"
#include "tests/support/crash_files.h"

namespace bwrt::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StateDamageTest : public testing::Test {
 protected:
  void SetUp() override {
    Reopen();
    for (uint64_t v = 1; v <= 2; ++v) ASSERT_TRUE(CommitVersion(*store_, "a", v).ok());
    ASSERT_TRUE(PrepareVersion(*store_, "u", "b", 1).ok());
  }

  void Reopen() {
    store_.reset();
    auto store = StateStore::Open({}, &files_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    state_ = store_->TakeRecovered();
  }

  // Of model "a", as recovered.
  std::vector<uint64_t> Versions() const {
    std::vector<uint64_t> numbers;
    for (const StoredModel& model : state_.models) {
      for (const auto& kept : model.versions) numbers.push_back(kept.number.value());
    }
    return numbers;
  }

  std::string Current() const { return files_.Paths("journal-").at(0); }
  // A blob of version 2 alone.
  StoredTensor Own() const { return store_->ReadManifest(store_->Versions("a")[0].manifest)->tensors[0]; }

  CrashFiles files_;
  std::unique_ptr<StateStore> store_;
  RecoveredState state_;
};

TEST_F(StateDamageTest, ABlob) {
  Reopen();
  const StoredTensor own = Own();
  const std::string path = "blobs/" + own.where.blob.Hex();
  ASSERT_TRUE(files_.FlipBit(path, 8 * 20));
  std::string bytes(64, '\0');
  const absl::Status status = store_->ReadTensor(own, bytes.data());
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_EQ(GetReason(status), "STATE_DIR_DAMAGED");
  EXPECT_EQ(files_.Paths("quarantine/").size(), 1u);
  // The version before is as it was.
  ASSERT_TRUE(store_->FallBack("a", Version(1)).ok());
  EXPECT_EQ(CheckVersion(*store_, store_->Versions("a")[0].manifest, "a", 1), "");
  // Writing the content again mends it.
  ASSERT_TRUE(CommitVersion(*store_, "a", 2).ok());
  EXPECT_EQ(CheckVersion(*store_, store_->Versions("a")[0].manifest, "a", 2), "");
}

TEST_F(StateDamageTest, ABlobThatIsMissingOrShort) {
  const std::string path = "blobs/" + Own().where.blob.Hex();
  files_.Put(path, files_.Content(path)->substr(0, 66));
  Reopen();
  EXPECT_THAT(Versions(), ElementsAre(1));
  EXPECT_THAT(state_.notes, ElementsAre(HasSubstr("version 2 is left out")));
  files_.Remove("blobs/" + Own().where.blob.Hex());
  Reopen();
  EXPECT_THAT(Versions(), IsEmpty());
  EXPECT_EQ(state_.updates.size(), 1u);
}

TEST_F(StateDamageTest, AManifest) {
  const std::string hex = store_->Versions("a")[0].manifest.Hex();
  ASSERT_TRUE(files_.FlipBit("manifests/" + hex, 100));
  Reopen();
  EXPECT_THAT(Versions(), ElementsAre(1));
  EXPECT_EQ(state_.models[0].last, Version(2));
  EXPECT_THAT(state_.notes, ElementsAre(HasSubstr("version 2 is left out")));
  EXPECT_THAT(files_.Paths("quarantine/"), ElementsAre("quarantine/manifest-" + hex));
  Reopen();
  EXPECT_THAT(Versions(), ElementsAre(1));
  EXPECT_THAT(state_.notes, IsEmpty());
}

// Its numbers have been seen: they must not come again for other content.
TEST_F(StateDamageTest, AModelWithoutAnyWholeVersionKeepsItsNumbers) {
  for (const auto& kept : store_->Versions("a")) files_.Remove("manifests/" + kept.manifest.Hex());
  const auto is_lost = [this](uint64_t last) {
    ASSERT_EQ(state_.models.size(), 1u);
    EXPECT_EQ(state_.models[0].name, "a");
    EXPECT_THAT(state_.models[0].versions, IsEmpty());
    EXPECT_EQ(state_.models[0].last, Version(last));
  };
  Reopen();
  is_lost(2);
  EXPECT_THAT(state_.notes, ElementsAre(HasSubstr("version 2 is left out"), HasSubstr("version 1 is left out")));
  Reopen();
  is_lost(2);
  EXPECT_THAT(state_.notes, IsEmpty());
  // A swap that is decided and then revoked leaves it as it was.
  SwapDecision decision{store_->NextDecisionId(), {{"a", Version(3), *WriteVersion(*store_, "a", 3), ""}}};
  ASSERT_TRUE(store_->Decide(decision).ok());
  ASSERT_TRUE(store_->Revoke(decision).ok());
  Reopen();
  is_lost(3);
  ASSERT_TRUE(CommitVersion(*store_, "a", 4).ok());
  Reopen();
  EXPECT_THAT(Versions(), ElementsAre(4));
  // One that is deleted is gone, with its numbers.
  files_.Remove("manifests/" + store_->Versions("a")[0].manifest.Hex());
  Reopen();
  is_lost(4);
  ASSERT_TRUE(store_->DeleteModel("a").ok());
  Reopen();
  EXPECT_THAT(state_.models, IsEmpty());
}

TEST_F(StateDamageTest, TheManifestOfAnUpdate) {
  Reopen();
  files_.Remove("manifests/" + state_.updates[0].manifest.Hex());
  Reopen();
  EXPECT_THAT(state_.updates, IsEmpty());
  EXPECT_THAT(state_.notes, ElementsAre(HasSubstr("prepared update \"u\"")));
}

// Each bit in the journal: what comes before it is kept, and that something is lost is noted.
TEST_F(StateDamageTest, TheJournal) {
  store_.reset();
  const std::string path = Current();
  const std::string journal = *files_.Content(path);
  const size_t first = journal.find('\n') + 1;
  for (size_t bit = 0; bit < 8 * journal.size(); bit += 5) {
    files_.PowerOn(0);
    for (const std::string& old : files_.Paths("journal-")) files_.Remove(old);
    for (const std::string& old : files_.Paths("quarantine/")) files_.Remove(old);
    files_.Put(path, journal);
    ASSERT_TRUE(files_.FlipBit(path, bit));
    // As it was before anything was replaced.
    Ledger empty;
    const std::string checkpoint = SealedLine(empty.ToText(1));
    files_.Put("checkpoint", checkpoint);
    files_.Put("checkpoint-copy", checkpoint);
    Reopen();
    EXPECT_FALSE(state_.notes.empty()) << bit;
    EXPECT_EQ(files_.Paths("quarantine/journal-1").size(), 1u) << bit;
    EXPECT_EQ(Versions().empty(), bit / 8 < first) << bit;
    store_.reset();
  }
}

TEST_F(StateDamageTest, ATornLastRecordIsCutOff) {
  const std::string path = Current();
  files_.Put(path, *files_.Content(path) + "0123456789abcdef");
  Reopen();
  EXPECT_THAT(Versions(), ElementsAre(2, 1));
  EXPECT_EQ(state_.updates.size(), 1u);
  EXPECT_THAT(state_.notes, ElementsAre(HasSubstr("cut off")));
}

TEST_F(StateDamageTest, OneOfTheCheckpoints) {
  for (const char* path : {"checkpoint", "checkpoint-copy"}) {
    const size_t bits = 8 * files_.Content(path)->size();
    for (size_t bit = 0; bit < bits; bit += 97) {
      store_.reset();
      ASSERT_TRUE(files_.FlipBit(path, bit));
      Reopen();
      EXPECT_THAT(Versions(), ElementsAre(2, 1)) << path << bit;
      EXPECT_EQ(state_.updates.size(), 1u);
      EXPECT_THAT(state_.notes, ElementsAre(HasSubstr("in quarantine"))) << path << bit;
    }
  }
}

TEST_F(StateDamageTest, BothCheckpoints) {
  store_.reset();
  files_.FlipBit("checkpoint", 300);
  files_.FlipBit("checkpoint-copy", 300);
  const std::vector<std::string> before = files_.Paths("");
  const absl::Status status = StateStore::Open({}, &files_).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_EQ(GetReason(status), "STATE_DIR_DAMAGED");
  EXPECT_EQ(files_.Paths(""), before);
  files_.Remove("checkpoint");
  files_.Remove("checkpoint-copy");
  files_.Remove(Current());
  EXPECT_EQ(GetReason(StateStore::Open({}, &files_).status()), "STATE_DIR_DAMAGED");
}

TEST(StateFormatTest, AnotherFormatIsRefusedAndUntouched) {
  CrashFiles files;
  files.Put("FORMAT", "bwrt state 2\n");
  files.Put("blobs/1.tmp", "x");
  const absl::Status status = StateStore::Open({}, &files).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(GetReason(status), "STATE_DIR_FORMAT");
  EXPECT_THAT(files.Paths(""), ElementsAre("FORMAT", "blobs/1.tmp"));
}

TEST(StateFormatTest, ADirectoryOfSomethingElseIsRefusedAndUntouched) {
  CrashFiles files;
  files.Put("thesis.tex", "x");
  const absl::Status status = StateStore::Open({}, &files).status();
  EXPECT_EQ(GetReason(status), "STATE_DIR_FORMAT");
  EXPECT_THAT(files.Paths(""), ElementsAre("thesis.tex"));
}

// Texts that are nearly right: pieces of a good one, changed here and there.
class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}
  std::string operator()(std::string text) {
    for (uint64_t n = random_() % 4 + 1; n > 0 && !text.empty(); --n) {
      const size_t at = random_() % text.size();
      switch (random_() % 5) {
        case 0:
          text[at] = static_cast<char>(random_());
          break;
        case 1:
          text.erase(at, random_() % 20);
          break;
        case 2:
          text.insert(at, text.substr(random_() % text.size(), random_() % 40));
          break;
        case 3:
          text.insert(at, std::vector<std::string>{"-", "9", "18446744073709551615", "1e99", "[[[[[[[[[[", "null", "\"",
                                                   "{}", "\n", "\\u0000", "}"}[random_() % 11]);
          break;
        default:
          for (size_t i = at; i < text.size() && i < at + 8; ++i) text[i] = static_cast<char>(random_());
          break;
      }
    }
    return text;
  }

 private:
  std::mt19937_64 random_;
};

TEST_F(StateDamageTest, MutatedTextsAreRefusedOrMeanWhatTheySay) {
  const std::string manifest = *files_.Content("manifests/" + store_->Versions("a")[0].manifest.Hex());
  const std::string journal = *files_.Content(Current());
  const std::string record = std::string(*UnsealLine(journal.substr(0, journal.find('\n'))));
  Reopen();
  const std::string sealed = *files_.Content("checkpoint");
  const std::string checkpoint = std::string(*UnsealLine(sealed.substr(0, sealed.size() - 1)));
  uint64_t generation = 0;
  ASSERT_TRUE(ParseManifest(manifest).ok());
  ASSERT_TRUE(ParseRecord(record));
  ASSERT_TRUE(Ledger::Parse(checkpoint, &generation));
  Mutator mutate(7);
  for (int i = 0; i < 20'000; ++i) {
    // What is accepted is exactly what would have been written.
    const std::string text = mutate(manifest);
    if (const auto version = ParseManifest(text); version.ok()) {
      EXPECT_EQ(*EncodeManifest(*version), text);
    }
    const std::string other = mutate(record);
    if (const auto parsed = ParseRecord(other)) {
      EXPECT_EQ(EncodeRecord(*parsed), other);
    }
    const std::string third = mutate(checkpoint);
    if (const auto ledger = Ledger::Parse(third, &generation)) {
      EXPECT_EQ(ledger->ToText(generation), third);
    }
  }
}

// The same through the files, with the right digests, so that the texts are read at all.
TEST_F(StateDamageTest, MutatedFilesNeverCrash) {
  const std::string journal = *files_.Content(Current());
  Reopen();
  store_.reset();
  const std::string sealed = *files_.Content("checkpoint");
  const std::string checkpoint = std::string(*UnsealLine(sealed.substr(0, sealed.size() - 1)));
  Mutator mutate(11);
  int opened = 0;
  for (int i = 0; i < 2'000; ++i) {
    CrashFiles files;
    files.Put("FORMAT", "bwrt state 1\n");
    for (const std::string& path : files_.Paths("blobs/")) files.Put(path, *files_.Content(path));
    for (const std::string& path : files_.Paths("manifests/")) {
      files.Put(path, i % 4 == 0 ? mutate(*files_.Content(path)) : *files_.Content(path));
    }
    files.Put("checkpoint", i % 4 == 1   ? SealedLine(mutate(checkpoint))
                            : i % 4 == 2 ? mutate(SealedLine(checkpoint))
                                         : SealedLine(Ledger().ToText(2)));
    std::string text = i % 4 == 3 ? mutate(journal) : journal;
    if (i % 8 == 7) text = SealedLine(mutate(std::string(*UnsealLine(journal.substr(0, journal.find('\n'))))));
    files.Put("journal-2", text);
    const auto store = StateStore::Open({}, &files);
    if (!store.ok()) {
      EXPECT_EQ(GetReason(store.status()), "STATE_DIR_DAMAGED") << store.status();
      continue;
    }
    ++opened;
    (*store)->Collect();
    EXPECT_TRUE(CommitVersion(**store, "c", 1).ok());
  }
  EXPECT_GT(opened, 1'000);
}

}  // namespace
}  // namespace bwrt::runtime
