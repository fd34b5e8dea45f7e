// Random choices for generators, equal on every platform: SplitMix64 (see operands.h) and integer arithmetic only.
//
// A value; used from one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace bwrt::client {

class Draws {
 public:
  // Each (seed, stream) is a sequence of its own.
  Draws(uint64_t seed, uint64_t stream) : state_(Mix(Mix(seed + kGamma) + (stream + 1) * kGamma)) {}

  uint64_t Bits() { return Mix(state_ += kGamma); }

  // Uniform in [0, n); n in [1, 2^32).
  uint64_t Below(uint64_t n) { return ((Bits() >> 32) * n) >> 32; }

  // Uniform in [low, high], which are less than 2^32 apart.
  int64_t Between(int64_t low, int64_t high) { return low + static_cast<int64_t>(Below(high - low + 1)); }

  bool Percent(uint64_t chance) { return Below(100) < chance; }

  // Uniform in [-1, 1), a multiple of 2^-23.
  float Unit() { return UnitOf(Bits()); }
  static float UnitOf(uint64_t bits) {
    return static_cast<float>(static_cast<int32_t>(bits >> 40) - (1 << 23)) * 0x1p-23f;
  }

  template <class T>
  T Pick(std::initializer_list<T> choices) {
    return choices.begin()[Below(choices.size())];
  }
  template <class List>
  const auto& PickFrom(const List& list) {
    return list[static_cast<int>(Below(list.size()))];
  }

  template <class T>
  void Shuffle(std::vector<T>* list) {
    for (size_t i = list->size(); i > 1; --i) std::swap((*list)[i - 1], (*list)[Below(i)]);
  }

 private:
  static constexpr uint64_t kGamma = 0x9e3779b97f4a7c15;

  static constexpr uint64_t Mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  uint64_t state_;
};

}  // namespace bwrt::client
