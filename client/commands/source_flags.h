// The flags of every command that brings tensors: what they are and where their bytes come from.
//
// Free functions, used while RunCli builds its parser; the flags must outlive the parse.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "client/commands/flags.h"
#include "client/commands/tensor_source.h"

namespace bwrt::client {

inline CLI::Option* AddTensorFlag(CLI::App& command, std::vector<std::string>* tensors) {
  return command
      .add_option("--tensor", *tensors,
                  "One tensor: its name, type, dimensions, and a file of raw little-endian elements "
                  "or the seed of random ones; repeatable")
      ->allow_extra_args(false)
      ->type_name("NAME:DTYPE:DIMSxDIMS=FILE|random:SEED");
}

// --npy and --digest beside it.
inline void AddFileFlags(CLI::App& command, TensorSourceFlags* flags) {
  command.add_option("--npy", flags->npy, "One tensor from a .npy file, which says its type and shape; repeatable")
      ->allow_extra_args(false)
      ->type_name("NAME=FILE");
  AddChoice<DigestKind>(command, "--digest", &flags->digest,
                        {{"xxh3", DigestKind::kXxh3}, {"sha256", DigestKind::kSha256}, {"none", DigestKind::kNone}},
                        "What precommit verifies each tensor with; default xxh3");
}

// --ranks, of raw tensors.
inline CLI::Option* AddRanksFlag(CLI::App& command, TensorSourceFlags* flags) {
  return command
      .add_option("--ranks", flags->ranks,
                  "Stage each --tensor as so many shards of its rows, as its publishers on several hosts do; default 1")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
}

}  // namespace bwrt::client
