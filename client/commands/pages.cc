// bwrtctl pages: what the page cache holds, and how its pages came in.
#include <openssl/sha.h>

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/client.h"
#include "client/commands/commands.h"
#include "client/commands/context.h"
#include "client/commands/output.h"

namespace bwrt::client {
namespace {

struct PagesFlags {
  std::string layer;
  int64_t start = 0;
  uint32_t max_pages = 0;
  bool sha256 = false;
};

std::string Sha256(const std::string& bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

int RunPages(const Context& context, const PagesFlags& flags) {
  const auto client = context.Connect();
  if (!client.ok()) return context.Fail(client.status());
  v1::ListPagesRequest request;
  request.set_layer(flags.layer);
  request.set_start_pid(flags.start);
  request.set_max_pages(flags.max_pages);
  request.set_with_data(flags.sha256);
  const auto pages = (*client)->ListPages(request);
  if (!pages.ok()) return context.Fail(pages.status());
  const v1::PageCache& cache = pages->cache();

  if (context.json) {
    Json json;
    json["cache"] = ToJson(cache);
    json["pages"] = Json::array();
    for (const v1::CachedPage& page : pages->pages()) {
      Json& entry = json["pages"].emplace_back();
      entry["layer"] = page.layer();
      entry["pid"] = page.pid();
      entry["bytes"] = page.bytes();
      if (!page.data().empty()) entry["sha256"] = Sha256(page.data());
    }
    PrintJson(json, context.out);
    return kExitDone;
  }
  context.out << cache.pages() << " pages of " << FormatBytes(cache.page_bytes()) << ", "
              << FormatBytes(cache.used_bytes()) << " of " << FormatBytes(cache.capacity_bytes()) << " used; "
              << FormatBytes(cache.read_bytes()) << " read through " << cache.reader() << '\n'
              << cache.hits() << " hits, " << cache.misses() << " misses, " << cache.late() << " late\n\n";
  Table table({"LAYER", "PAGE", "BYTES", "SHA256"});
  for (const v1::CachedPage& page : pages->pages()) {
    table.Add({page.layer(), absl::StrCat(page.pid()), absl::StrCat(page.bytes()),
               page.data().empty() ? "-" : Sha256(page.data())});
  }
  table.Print(context.out);
  return kExitDone;
}

}  // namespace

void AddPagesCommand(CLI::App& app, Context& context) {
  const auto flags = std::make_shared<PagesFlags>();
  CLI::App* command = app.add_subcommand("pages", "The page cache that io_extents are read into");
  command->add_option("--layer", flags->layer, "Start at this layer; default: the first");
  command->add_option("--start", flags->start, "Start at this page of it")->check(CLI::NonNegativeNumber);
  command->add_option("--max", flags->max_pages, "List at most so many pages; default 100");
  command->add_flag("--sha256", flags->sha256, "Digest of each page's bytes (as far as 4 MiB of them go)");
  command->callback([&context, flags] { context.command = [&context, flags] { return RunPages(context, *flags); }; });
}

}  // namespace bwrt::client
