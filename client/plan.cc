#include "client/plan.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/file.h"
#include "client/json_value.h"
#include "client/status.h"

namespace bwrt::client {
namespace {

using Kind = JsonValue::Kind;

constexpr size_t kMaxViolations = 100;
// A value takes some fifty times its text in memory.
constexpr size_t kMaxFileBytes = size_t{64} << 20;
constexpr int64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr int64_t kMaxUint32 = std::numeric_limits<uint32_t>::max();

constexpr absl::string_view kWaveKeys[] = {
    "pack_order", "tile_order", "tile_order_flat", "bm",         "bn",          "bk",         "cluster_shape",
    "cluster_x",  "cluster_y",  "tmem_layout",     "io_extents", "swap_window", "swap_begin", "swap_end",
};

bool IsWaveKey(absl::string_view key) {
  return std::find(std::begin(kWaveKeys), std::end(kWaveKeys), key) != std::end(kWaveKeys);
}

// Reads waves and gathers what is wrong with them. After a violation, values read are placeholders.
class Reader {
 public:
  void Document(const JsonValue& json) {
    if (json.kind == Kind::kArray) {
      for (size_t i = 0; i < json.items.size() && !Full(); ++i) {
        const JsonValue& item = json.items[i];
        if (item.Find("waves") != nullptr) {
          Window(item, absl::StrCat("windows[", i, "]."));
        } else {
          Wave(item, absl::StrCat("waves[", i, "]"));
        }
      }
    } else if (json.Find("waves") != nullptr) {
      Window(json, "");
    } else {
      Wave(json, "wave");
    }
  }

  absl::StatusOr<Plan> Finish() && {
    if (violations_.empty()) return std::move(plan_);
    std::string message = absl::StrCat("the plan has ", violations_.size(), Full() ? " or more" : "", " invalid value",
                                       violations_.size() == 1 ? "" : "s");
    return InvalidFields(message, std::move(violations_));
  }

 private:
  bool Full() const { return violations_.size() >= kMaxViolations; }

  void Violate(const std::string& path, absl::string_view reason, std::string description) {
    if (Full()) return;
    violations_.push_back({path, std::string(reason), std::move(description)});
  }

  void WrongType(const JsonValue& value, const std::string& path, absl::string_view expected) {
    Violate(path, "WRONG_TYPE", absl::StrCat(path, "=", value.Describe(), ": must be ", expected));
  }

  int64_t Integer(const JsonValue& value, const std::string& path, int64_t limit = kMaxInt32) {
    const bool whole =
        value.kind == Kind::kInteger ||
        (value.kind == Kind::kNumber && value.text.find_first_not_of("-0123456789") == std::string::npos);
    if (!whole) {
      WrongType(value, path, "an integer");
      return 0;
    }
    if (value.kind == Kind::kInteger && value.integer >= 0 && value.integer <= limit) {
      return value.integer;
    }
    Violate(path, "OUT_OF_RANGE",
            absl::StrCat(path, "=", value.Describe(), ": must be in [0, ", limit,
                         "]; renumber it to fit, it is not truncated"));
    return 0;
  }

  // The member, or null where it is missing or null.
  static const JsonValue* Member(const JsonValue& object, absl::string_view name) {
    const JsonValue* value = object.Find(name);
    return value == nullptr || value->kind == Kind::kNull ? nullptr : value;
  }

  // An integer member; `fallback` where it is missing.
  int32_t Int32(const JsonValue& object, const std::string& path, absl::string_view name, int32_t fallback) {
    const JsonValue* value = Member(object, name);
    if (value == nullptr) return fallback;
    return static_cast<int32_t>(Integer(*value, absl::StrCat(path, ".", name)));
  }

  // A list of exactly `size` items where that is not 0; null, with a violation, where it is none.
  const JsonValue* List(const JsonValue& value, const std::string& path, size_t size, absl::string_view expected) {
    if (value.kind == Kind::kArray && (size == 0 || value.items.size() == size)) return &value;
    if (value.kind == Kind::kArray) {
      Violate(path, "WRONG_LENGTH", absl::StrCat(path, ": has ", value.items.size(), " items, must be ", expected));
    } else {
      WrongType(value, path, expected);
    }
    return nullptr;
  }

  const JsonValue* ListMember(const JsonValue& object, const std::string& path, absl::string_view name, size_t size,
                              absl::string_view expected) {
    const JsonValue* value = Member(object, name);
    return value == nullptr ? nullptr : List(*value, absl::StrCat(path, ".", name), size, expected);
  }

  void Window(const JsonValue& window, const std::string& prefix) {
    const std::string path = absl::StrCat(prefix, "waves");
    const JsonValue* waves = List(*window.Find("waves"), path, 0, "a list of waves");
    if (waves == nullptr) return;
    for (size_t i = 0; i < waves->items.size() && !Full(); ++i) {
      Wave(waves->items[i], absl::StrCat(path, "[", i, "]"));
    }
  }

  void Wave(const JsonValue& json, const std::string& path) {
    if (json.kind != Kind::kObject) return WrongType(json, path, "a wave: an object");
    bool known = false;
    for (const auto& [key, value] : json.members) {
      if (IsWaveKey(key)) {
        known = true;
      } else if (std::find(plan_.ignored_keys.begin(), plan_.ignored_keys.end(), key) == plan_.ignored_keys.end() &&
                 plan_.ignored_keys.size() < kMaxViolations) {
        plan_.ignored_keys.push_back(key);
      }
    }
    if (!known) {
      return Violate(path, "NO_WAVE", absl::StrCat(path, ": has none of a wave's keys, such as tile_order or bm"));
    }
    PlannedWave wave{.path = path};
    WaveSpec& spec = wave.spec;
    spec.set_bm(Int32(json, path, "bm", 0));
    spec.set_bn(Int32(json, path, "bn", 0));
    spec.set_bk(Int32(json, path, "bk", 0));
    PackOrder(json, path, &spec);
    TileOrder(json, path, &wave);
    Cluster(json, path, &spec);
    TMem(json, path, &spec);
    Extents(json, path, &spec);
    SwapWindow(json, path, &spec);
    wave.prefetch_tokens = spec.io_extents_size();
    plan_.waves.push_back(std::move(wave));
  }

  void PackOrder(const JsonValue& json, const std::string& path, WaveSpec* spec) {
    const JsonValue* list = ListMember(json, path, "pack_order", 0, "a list of request ids");
    if (list == nullptr) return;
    for (size_t i = 0; i < list->items.size() && !Full(); ++i) {
      spec->add_pack_order(Integer(list->items[i], absl::StrCat(path, ".pack_order[", i, "]")));
    }
  }

  void TileOrder(const JsonValue& json, const std::string& path, PlannedWave* wave) {
    int64_t max_m = 0, max_n = 0;
    if (const JsonValue* list = ListMember(json, path, "tile_order", 0, "a list of tiles [m, n]")) {
      for (size_t i = 0; i < list->items.size() && !Full(); ++i) {
        const std::string tile_path = absl::StrCat(path, ".tile_order[", i, "]");
        const JsonValue* tile = List(list->items[i], tile_path, 2, "a tile [m, n]");
        if (tile == nullptr) continue;
        TileCoord* coord = wave->spec.add_tile_order();
        coord->set_m(static_cast<int32_t>(Integer(tile->items[0], tile_path + ".m")));
        coord->set_n(static_cast<int32_t>(Integer(tile->items[1], tile_path + ".n")));
        max_m = std::max<int64_t>(max_m, coord->m());
        max_n = std::max<int64_t>(max_n, coord->n());
      }
    }
    if (const JsonValue* list = ListMember(json, path, "tile_order_flat", 0, "a list of tiles m << 16 | n")) {
      for (size_t i = 0; i < list->items.size() && !Full(); ++i) {
        const int64_t tile = Integer(list->items[i], absl::StrCat(path, ".tile_order_flat[", i, "]"), kMaxUint32);
        wave->spec.add_tile_order_flat(static_cast<uint32_t>(tile));
        max_m = std::max(max_m, tile >> 16);
        max_n = std::max(max_n, tile & 0xffff);
      }
    }
    // At most 2^31 * 2^31: no overflow.
    wave->m = (max_m + 1) * wave->spec.bm();
    wave->n = (max_n + 1) * wave->spec.bn();
    // Without a list the grid is this one tile.
    wave->tile_tokens = !wave->spec.tile_order().empty()        ? wave->spec.tile_order_size()
                        : !wave->spec.tile_order_flat().empty() ? wave->spec.tile_order_flat_size()
                                                                : 1;
  }

  void Cluster(const JsonValue& json, const std::string& path, WaveSpec* spec) {
    int32_t x = Int32(json, path, "cluster_x", 1);
    int32_t y = Int32(json, path, "cluster_y", 1);
    if (const JsonValue* shape = ListMember(json, path, "cluster_shape", 2, "a pair [x, y]")) {
      x = static_cast<int32_t>(Integer(shape->items[0], path + ".cluster_shape.x"));
      y = static_cast<int32_t>(Integer(shape->items[1], path + ".cluster_shape.y"));
    }
    spec->mutable_cluster_shape()->set_x(x);
    spec->mutable_cluster_shape()->set_y(y);
  }

  void TMem(const JsonValue& json, const std::string& path, WaveSpec* spec) {
    const JsonValue* layout = Member(json, "tmem_layout");
    if (layout == nullptr) return;
    const std::string layout_path = path + ".tmem_layout";
    if (layout->kind != Kind::kObject) return WrongType(*layout, layout_path, "an object");
    TMemLayout* tmem = spec->mutable_tmem_layout();
    tmem->set_columns(Int32(*layout, layout_path, "columns", 0));
    tmem->set_phases(Int32(*layout, layout_path, "phases", 0));
    tmem->set_stage_n(Int32(*layout, layout_path, "stage_n", 0));
    if (const JsonValue* value = Member(*layout, "double_buffer")) {
      if (value->kind == Kind::kBool) {
        tmem->set_double_buffer(value->boolean);
      } else {
        WrongType(*value, layout_path + ".double_buffer", "true or false");
      }
    }
  }

  void Extents(const JsonValue& json, const std::string& path, WaveSpec* spec) {
    const JsonValue* list = ListMember(json, path, "io_extents", 0, "a list of extents [layer, start, end]");
    if (list == nullptr) return;
    for (size_t i = 0; i < list->items.size() && !Full(); ++i) {
      const std::string extent_path = absl::StrCat(path, ".io_extents[", i, "]");
      const JsonValue* extent = List(list->items[i], extent_path, 3, "an extent [layer, start, end]");
      if (extent == nullptr) continue;
      IoExtent* added = spec->add_io_extents();
      const JsonValue& layer = extent->items[0];
      if (layer.kind == Kind::kString) {
        added->set_layer(layer.text);
      } else if (layer.kind == Kind::kInteger || layer.kind == Kind::kNumber) {
        added->set_layer(absl::StrCat(Integer(layer, extent_path + ".layer")));
      } else {
        WrongType(layer, extent_path + ".layer", "a string or an integer");
      }
      added->set_start_pid(Integer(extent->items[1], extent_path + ".start_pid"));
      added->set_end_pid(Integer(extent->items[2], extent_path + ".end_pid"));
    }
  }

  void SwapWindow(const JsonValue& json, const std::string& path, WaveSpec* spec) {
    int32_t begin = Int32(json, path, "swap_begin", 0);
    int32_t end = Int32(json, path, "swap_end", 1);
    if (const JsonValue* window = ListMember(json, path, "swap_window", 2, "a pair [begin, end]")) {
      begin = static_cast<int32_t>(Integer(window->items[0], path + ".swap_window.begin"));
      end = static_cast<int32_t>(Integer(window->items[1], path + ".swap_window.end"));
    }
    spec->set_swap_begin(begin);
    spec->set_swap_end(end);
  }

  Plan plan_;
  std::vector<FieldViolation> violations_;
};

}  // namespace

absl::StatusOr<Plan> ParsePlan(absl::string_view json) {
  const auto value = ParseJson(json);
  if (!value.ok()) return value.status();
  return ParsePlan(*value);
}

absl::StatusOr<Plan> ParsePlan(const JsonValue& json) {
  Reader reader;
  reader.Document(json);
  return std::move(reader).Finish();
}

bool LooksLikePlan(const JsonValue& json) {
  if (json.kind == Kind::kArray || json.Find("waves") != nullptr) return true;
  return std::any_of(json.members.begin(), json.members.end(),
                     [](const auto& member) { return IsWaveKey(member.first); });
}

absl::StatusOr<Plan> ReadPlan(const std::string& path) {
  const auto text = ReadFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  return ParsePlan(*text);
}

}  // namespace bwrt::client
