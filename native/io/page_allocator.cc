#include "native/io/page_allocator.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace gateway {
namespace {

constexpr uint64_t kBits = 64;
constexpr uint64_t kFull = ~uint64_t{0};
constexpr uint64_t kNone = ~uint64_t{0};
// Free runs looked at for one that has the room: bounds the time on a fragmented arena.
constexpr int kAttempts = 32;

// Bits `first` to `first + count - 1` of a word; count is 1 to 64.
uint64_t Mask(uint64_t first, uint64_t count) { return (kFull >> (kBits - count)) << first; }

}  // namespace

bool PageAllocator::Reset(uint64_t capacity) {
  levels_.clear();
  capacity_ = capacity;
  cursor_ = 0;
  uint64_t bits = capacity;
  do {
    Level level;
    level.word_count = std::max<uint64_t>((bits + kBits - 1) / kBits, 1);
    level.words.reset(static_cast<uint64_t*>(std::calloc(level.word_count, sizeof(uint64_t))));
    if (!level.words) {
      return false;
    }
    // What lies behind the end is never free.
    const uint64_t excess = level.word_count * kBits - bits;
    if (excess > 0) {
      level.words[level.word_count - 1] = Mask(kBits - excess, excess);
    }
    bits = level.word_count;
    levels_.push_back(std::move(level));
  } while (bits > 1);
  return true;
}

PageRun PageAllocator::Take(uint64_t wanted, uint64_t room) {
  PageRun best;
  uint64_t from = cursor_;
  bool wrapped = false;
  for (int attempt = 0; attempt < kAttempts && best.count < room; ++attempt) {
    uint64_t page = FindFree(from);
    if (page == kNone) {
      if (wrapped) {
        break;
      }
      wrapped = true;
      page = FindFree(0);
      if (page == kNone) {
        break;
      }
    }
    const uint64_t length = FreeLength(page, room);
    if (length > best.count) {
      best = {page, length};
    }
    from = page + length;
  }
  if (best.count == 0) {
    return best;
  }
  cursor_ = best.first + best.count;
  best.count = std::min(best.count, wanted);
  Mark(best);
  return best;
}

uint64_t PageAllocator::TakeAt(uint64_t page, uint64_t wanted) {
  const uint64_t count = FreeLength(page, wanted);
  if (count > 0) {
    Mark({page, count});
  }
  return count;
}

void PageAllocator::Release(PageRun run) {
  cursor_ = std::min(cursor_, run.first);
  uint64_t* const words = levels_[0].words.get();
  for (uint64_t page = run.first, left = run.count; left > 0;) {
    const uint64_t count = std::min(left, kBits - page % kBits);
    uint64_t& word = words[page / kBits];
    const bool was_full = word == kFull;
    word &= ~Mask(page % kBits, count);
    if (was_full) {
      MarkNotFull(page / kBits);
    }
    page += count;
    left -= count;
  }
}

uint64_t PageAllocator::FindFree(uint64_t from) const {
  uint64_t index = from;
  size_t level = 0;
  for (;; ++level) {
    if (level == levels_.size() || index / kBits >= levels_[level].word_count) {
      return kNone;
    }
    const uint64_t skipped = (uint64_t{1} << (index % kBits)) - 1;
    const uint64_t word = levels_[level].words[index / kBits] | skipped;
    if (word != kFull) {
      index = index / kBits * kBits + static_cast<uint64_t>(std::countr_one(word));
      break;
    }
    index = index / kBits + 1;
  }
  while (level-- > 0) {
    index = index * kBits + static_cast<uint64_t>(std::countr_one(levels_[level].words[index]));
  }
  return index;
}

uint64_t PageAllocator::FreeLength(uint64_t page, uint64_t limit) const {
  if (page >= capacity_) {
    return 0;
  }
  uint64_t length = 0;
  while (length < limit && page < capacity_) {
    const uint64_t shift = page % kBits;
    const uint64_t free = std::min<uint64_t>(
        static_cast<uint64_t>(std::countr_zero(levels_[0].words[page / kBits] >> shift)),
        kBits - shift);
    length += free;
    page += free;
    if (free < kBits - shift) {
      break;
    }
  }
  return std::min(length, limit);
}

void PageAllocator::Mark(PageRun run) {
  uint64_t* const words = levels_[0].words.get();
  for (uint64_t page = run.first, left = run.count; left > 0;) {
    const uint64_t count = std::min(left, kBits - page % kBits);
    uint64_t& word = words[page / kBits];
    word |= Mask(page % kBits, count);
    if (word == kFull) {
      MarkFull(page / kBits);
    }
    page += count;
    left -= count;
  }
}

void PageAllocator::MarkFull(uint64_t word) {
  for (size_t level = 1; level < levels_.size(); ++level) {
    uint64_t& summary = levels_[level].words[word / kBits];
    summary |= Mask(word % kBits, 1);
    if (summary != kFull) {
      return;
    }
    word /= kBits;
  }
}

void PageAllocator::MarkNotFull(uint64_t word) {
  for (size_t level = 1; level < levels_.size(); ++level) {
    uint64_t& summary = levels_[level].words[word / kBits];
    const bool was_full = summary == kFull;
    summary &= ~Mask(word % kBits, 1);
    if (!was_full) {
      return;
    }
    word /= kBits;
  }
}

}  // namespace gateway
