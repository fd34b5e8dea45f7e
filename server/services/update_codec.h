// Updates, commits and rollbacks between the wire and the runtime.
#ifndef BWRT_SERVER_SERVICES_UPDATE_CODEC_H_
#define BWRT_SERVER_SERVICES_UPDATE_CODEC_H_

#include <vector>

#include "bwrt/v1/weights.pb.h"
#include "runtime/update.h"
#include "runtime/update_commit.h"
#include "runtime/update_request.h"
#include "runtime/weights.h"

namespace bwrt::server {

runtime::TensorManifestRequest DecodeTensorManifest(const v1::TensorManifest& tensor);
runtime::BeginUpdateRequest DecodeBeginUpdate(const v1::BeginUpdateRequest& request);
runtime::CommitRequest DecodeCommit(const v1::CommitRequest& request);
runtime::RollbackRequest DecodeRollback(const v1::RollbackRequest& request);
runtime::ReadRequest DecodeReadTensor(const v1::ReadTensorRequest& request);
runtime::LoadRequest DecodeLoadFile(const v1::LoadFileRequest& request);

void EncodeUpdate(const runtime::UpdateStatus& status, v1::UpdateInfo* out);
void EncodeMissing(const std::vector<runtime::MissingShard>& missing, v1::GetUpdateResponse* out);
void EncodeCommit(const runtime::CommitResult& result, v1::CommitResponse* out);
void EncodeReport(const runtime::PrepareReport& report, v1::PrecommitResponse* out);
void EncodeProgress(const runtime::LoadProgress& progress, v1::LoadFileProgress* out);
void EncodeRead(runtime::ReadResult&& result, int64_t offset, v1::ReadTensorResponse* out);

}  // namespace bwrt::server

#endif  // BWRT_SERVER_SERVICES_UPDATE_CODEC_H_
