#include "server/services/stage_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace bwrt::server {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

constexpr uint32_t LengthDelimited(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}
constexpr uint32_t kChunk = LengthDelimited(v1::StageWeightsRequest::kChunkFieldNumber);
constexpr uint32_t kDeclare = LengthDelimited(v1::StageWeightsRequest::kDeclareFieldNumber);
constexpr uint32_t kData = LengthDelimited(v1::Chunk::kDataFieldNumber);

// Smaller slices are copied: sharing costs more, and gRPC keeps the bytes of the smallest inside of the handle.
constexpr size_t kShared = 512;

// Where a field's value lies in the message.
struct Span {
  size_t begin = 0;
  size_t size = 0;
};

// Copies the fields of a message from `in`, up to its limit, to `head`, except those that `take` takes.
template <typename Take>
bool CopyFields(CodedInputStream* in, std::string* head, Take&& take) {
  StringOutputStream sink(head);
  CodedOutputStream out(&sink);
  while (const uint32_t tag = in->ReadTag()) {
    bool taken = false;
    if (!take(tag, &out, &taken)) return false;
    if (!taken && !WireFormatLite::SkipField(in, tag, &out)) return false;
  }
  return in->ConsumedEntireMessage();
}

// The message without the chunk's data, and where that is: as with any field, the last one counts.
bool Split(CodedInputStream* in, std::string* head, Span* data) {
  const auto take_data = [&](uint32_t tag, CodedOutputStream* /*out*/, bool* taken) {
    uint32_t size = 0;
    *taken = tag == kData;
    if (!*taken) return true;
    if (!in->ReadVarint32(&size) || size > static_cast<uint32_t>(INT32_MAX)) return false;
    *data = {static_cast<size_t>(in->CurrentPosition()), size};
    return in->Skip(static_cast<int>(size));
  };
  const auto take_chunk = [&](uint32_t tag, CodedOutputStream* out, bool* taken) {
    int size = 0;
    *taken = tag == kChunk;
    if (tag == kDeclare) *data = {};  // It takes the place of a chunk before it.
    if (!*taken) return true;
    if (!in->ReadVarintSizeAsInt(&size)) return false;
    const CodedInputStream::Limit limit = in->PushLimit(size);
    std::string chunk;
    if (!CopyFields(in, &chunk, take_data) || in->BytesUntilLimit() != 0) return false;
    in->PopLimit(limit);
    out->WriteTag(tag);
    out->WriteVarint32(static_cast<uint32_t>(chunk.size()));
    out->WriteString(chunk);
    return true;
  };
  return CopyFields(in, head, take_chunk);
}

absl::Cord Share(const grpc::ByteBuffer& buffer, const Span& span) {
  absl::Cord shared;
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return shared;
  size_t at = 0;
  for (const grpc::Slice& slice : slices) {
    const size_t begin = std::max(at, span.begin);
    const size_t end = std::min(at + slice.size(), span.begin + span.size);
    if (begin < end) {
      const absl::string_view bytes(reinterpret_cast<const char*>(slice.begin()) + (begin - at), end - begin);
      if (slice.size() < kShared) {
        shared.Append(bytes);
      } else {
        shared.Append(absl::MakeCordFromExternal(bytes, [held = slice] {}));
      }
    }
    at += slice.size();
  }
  return shared;
}

}  // namespace

StageMessage StageMessage::Parse(grpc::ByteBuffer* buffer) {
  StageMessage message;
  message.malformed = true;
  grpc::ProtoBufferReader reader(buffer);
  if (!reader.status().ok()) return message;
  CodedInputStream in(&reader);
  std::string head;
  Span data;
  if (!Split(&in, &head, &data) || !message.request.ParseFromString(head)) return message;
  if (message.request.has_chunk()) message.data = Share(*buffer, data);
  message.malformed = message.data.size() != (message.request.has_chunk() ? data.size : 0);
  return message;
}

}  // namespace bwrt::server
