// Where things lie in a request slot: the memory that C++ and JavaScript share.
// src/native/lane.ts has the same numbers.
#ifndef NATIVE_VIRTIO_SLOT_LAYOUT_H_
#define NATIVE_VIRTIO_SLOT_LAYOUT_H_

#include <cstddef>
#include <cstdint>

namespace gateway::slot_layout {

inline constexpr size_t kSlotBytes = 4096;
inline constexpr uint32_t kSlots = 2048;

// Control words, in 32-bit units from the start of the slot.
inline constexpr size_t kRequestLength = 0;  // bytes the request claims, header included
inline constexpr size_t kReplyCapacity = 1;  // bytes the guest can receive, header included
inline constexpr size_t kQueue = 2;          // queue the request came from
inline constexpr size_t kReplyOffset = 3;    // byte in the slot where the reply's body begins

// The request's first bytes, header included, and the reply's body (the header is native code's).
inline constexpr size_t kRequestOffset = 64;
inline constexpr size_t kRequestBytes = 1984;
inline constexpr size_t kReplyStart = kRequestOffset + kRequestBytes;
inline constexpr size_t kReplyBytes = kSlotBytes - kReplyStart;

// Results other than a body's length (>= 0) or a negative errno.
inline constexpr int32_t kPending = INT32_MIN;      // answered later with complete()
inline constexpr int32_t kNoReply = INT32_MIN + 1;  // give the chain back, write nothing
// The file of this READ or WRITE is bound now: native code is to serve it after all.
inline constexpr int32_t kTransfer = INT32_MIN + 2;
// Added to a length: the body is in guest memory already, native code wrote it there.
inline constexpr int32_t kBodyInPlace = 1 << 30;

}  // namespace gateway::slot_layout

#endif  // NATIVE_VIRTIO_SLOT_LAYOUT_H_
