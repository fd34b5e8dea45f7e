#include "server/services/stage_message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

namespace bwrt::server {
namespace {

// `bytes` in slices of at most `slice`.
grpc::ByteBuffer Sliced(const std::string& bytes, size_t slice) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += slice) slices.emplace_back(bytes.substr(at, slice));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

StageMessage Parse(const std::string& bytes, size_t slice) {
  grpc::ByteBuffer buffer = Sliced(bytes, slice);
  StageMessage message;
  EXPECT_TRUE(grpc::SerializationTraits<StageMessage>::Deserialize(&buffer, &message).ok());
  return message;
}

// With what Parse set apart in its place again.
v1::StageWeightsRequest Whole(const StageMessage& message) {
  v1::StageWeightsRequest whole = message.request;
  if (whole.has_chunk()) whole.mutable_chunk()->set_data(std::string(message.data));
  return whole;
}

std::string Bytes(size_t size) {
  std::mt19937 random(static_cast<unsigned>(size));
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

v1::StageWeightsRequest Chunk(size_t size) {
  v1::StageWeightsRequest request;
  request.set_update_id("u-1");
  request.mutable_chunk()->set_tensor("layer.0");
  request.mutable_chunk()->set_rank(3);
  request.mutable_chunk()->set_offset(uint64_t{1} << 40);
  request.mutable_chunk()->set_data(Bytes(size));
  return request;
}

// What the generated class makes of the same bytes.
void ExpectAsGenerated(const std::string& bytes) {
  v1::StageWeightsRequest expected;
  const bool readable = expected.ParseFromString(bytes);
  for (const size_t slice : {1, 7, 23, 24, 100, 600, 5000, 1 << 20}) {
    const StageMessage message = Parse(bytes, slice);
    ASSERT_EQ(message.malformed, !readable) << "slices of " << slice;
    if (readable) {
      ASSERT_EQ(Whole(message).SerializeAsString(), expected.SerializeAsString()) << slice;
    }
  }
}

TEST(StageMessageTest, SaysWhatTheGeneratedClassSaysHoweverItIsSliced) {
  for (const size_t size : {0, 1, 500, 511, 512, 513, 4096, 100'000}) {
    ExpectAsGenerated(Chunk(size).SerializeAsString());
  }
  v1::StageWeightsRequest declare;
  declare.mutable_declare()->mutable_tensor()->set_name("w");
  ExpectAsGenerated(declare.SerializeAsString());
  ExpectAsGenerated("");
}

TEST(StageMessageTest, TheDataStaysWhereItWasReceived) {
  const std::string bytes = Chunk(100'000).SerializeAsString();
  const grpc::Slice slice(bytes);
  grpc::ByteBuffer buffer(&slice, 1);
  const StageMessage message = StageMessage::Parse(&buffer);
  const auto data = message.data.TryFlat();
  ASSERT_TRUE(data.has_value());
  const auto* const begin = reinterpret_cast<const char*>(slice.begin());
  EXPECT_GE(data->data(), begin);
  EXPECT_LE(data->data() + data->size(), begin + slice.size());
  EXPECT_TRUE(message.request.chunk().data().empty());
}

TEST(StageMessageTest, TheDataOutlivesTheBuffer) {
  const v1::StageWeightsRequest request = Chunk(10'000);
  const StageMessage message = Parse(request.SerializeAsString(), 1000);
  EXPECT_EQ(std::string(message.data), request.chunk().data());
}

TEST(StageMessageTest, FieldsInAnyOrderTwiceOrUnknownAreReadAsProtobufReadsThem) {
  const std::string a = Chunk(700).SerializeAsString();
  v1::StageWeightsRequest later = Chunk(900);
  later.mutable_chunk()->clear_offset();
  later.set_update_id("u-2");
  const std::string b = later.SerializeAsString();
  v1::StageWeightsRequest other;
  other.mutable_declare()->mutable_tensor()->set_name("w");
  const std::string declare = other.SerializeAsString();
  const std::string unknown("\xfa\x01\x03xyz", 6);  // Field 31.
  ExpectAsGenerated(unknown + a + unknown);
  ExpectAsGenerated(a + b);
  ExpectAsGenerated(declare + a);
  ExpectAsGenerated(a + declare);
  later.mutable_chunk()->clear_data();
  ExpectAsGenerated(a + later.SerializeAsString());
  ExpectAsGenerated(a + declare + later.SerializeAsString());
}

TEST(StageMessageTest, WhatIsNoMessageIsTold) {
  const std::string good = Chunk(700).SerializeAsString();
  ExpectAsGenerated("\x07");
  ExpectAsGenerated("\xff\xff\xff\xff\xff\xff");
  ExpectAsGenerated("\x0a\x01\xff");                      // An update_id that is not UTF-8.
  ExpectAsGenerated("\x1a\xff\xff\xff\xff\x0f");          // A chunk of 4 GiB.
  ExpectAsGenerated("\x1a\x06\x22\xff\xff\xff\xff\x0f");  // Data of 4 GiB.
  ExpectAsGenerated("\x1a\x02\x22\x05hello");             // Data beyond its chunk.
  for (size_t at = 0; at < good.size(); at += 13) ExpectAsGenerated(good.substr(0, at));
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    std::string bad = good.substr(0, 40);
    for (int flips = 0; flips < 3; ++flips) bad[random() % bad.size()] ^= static_cast<char>(1 << (random() % 8));
    ExpectAsGenerated(bad);
  }
}

}  // namespace
}  // namespace bwrt::server
