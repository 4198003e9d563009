// Calls whose work is for the I/O pool of their environment.
#ifndef NATIVE_NAPI_POSIX_JOB_H_
#define NATIVE_NAPI_POSIX_JOB_H_

#include <utility>

#include "native/napi/posix_binding.h"
#include "native/napi/promise_job.h"

namespace gateway {

// `work` returns >= 0 or -errno.
template <typename Work>
napi_value Submit(const PosixCall& call, Work work) {
  return Submit(call.env(), call.state().pool(call.env()), std::move(work));
}

}  // namespace gateway

#endif  // NATIVE_NAPI_POSIX_JOB_H_
