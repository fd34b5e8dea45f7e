// The flags of every command that begins an update.
//
// Free functions, used while RunCli builds its parser; the flags must outlive the parse.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "bwrt/v1/weights.pb.h"
#include "client/commands/flags.h"

namespace bwrt::client {

struct BeginFlags {
  std::string model = {};
  std::string id = {};
  std::string label = {};
  std::optional<uint64_t> base = {};
  std::vector<std::string> removed = {};
  bool in_place = false;
  std::optional<absl::Duration> ttl = {};
  std::optional<absl::Duration> prepared_ttl = {};
};

// All but MODEL, which is the command's own.
inline std::vector<CLI::Option*> AddBeginFlags(CLI::App& command, BeginFlags* flags) {
  return {
      command.add_option("--id", flags->id, "Your id for the update; default: the daemon makes one"),
      command.add_option("--label", flags->label, "Your name for the version"),
      command
          .add_option("--base,--base-version", flags->base,
                      "The version it is made for; 0: the model must not exist yet. Default: the current one")
          ->check(CheckUnsigned),
      command.add_option("--remove", flags->removed, "Leave this tensor of the base out; repeatable")
          ->allow_extra_args(false)
          ->type_name("NAME"),
      command.add_flag("--in-place", flags->in_place,
                       "For full memory: the new bytes wait in the daemon's state directory, and waves "
                       "pause while they are read in"),
      AddDuration(command, "--ttl", &flags->ttl, "Expire when nothing names it for this long; default 10m"),
      AddDuration(command, "--prepared-ttl", &flags->prepared_ttl, "The same once it is prepared; default never"),
  };
}

// Without tensors.
inline v1::BeginUpdateRequest MakeBeginRequest(const BeginFlags& flags) {
  v1::BeginUpdateRequest request;
  request.set_model(flags.model);
  request.set_update_id(flags.id);
  request.set_label(flags.label);
  if (flags.base.has_value()) request.set_base_version(*flags.base);
  for (const std::string& name : flags.removed) request.add_removed(name);
  request.set_apply_mode(flags.in_place ? v1::IN_PLACE : v1::SHADOW);
  if (flags.ttl.has_value()) *request.mutable_ttl() = ToProto(*flags.ttl);
  if (flags.prepared_ttl.has_value()) *request.mutable_prepared_ttl() = ToProto(*flags.prepared_ttl);
  return request;
}

}  // namespace bwrt::client
