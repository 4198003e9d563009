{
  "variables": { "sanitize%": "" },
  "target_defaults": {
    "include_dirs": [".", "node_modules/node-addon-api"],
    "defines": [
      "NAPI_VERSION=9",
      "NAPI_DISABLE_CPP_EXCEPTIONS",
      "NODE_ADDON_API_DISABLE_DEPRECATED",
      "_FILE_OFFSET_BITS=64"
    ],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++14"],
    "cflags_cc": ["-std=gnu++20", "-Wall", "-Wextra", "-fvisibility=hidden"],
    "conditions": [
      ["sanitize!=''", {
        "cflags_cc": ["-fsanitize=<(sanitize)", "-fno-omit-frame-pointer", "-g", "-O1"],
        "ldflags": ["-fsanitize=<(sanitize)"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "virtiofs_gateway",
      "sources": [
        "native/napi/addon.cc",
        "native/io/crc.cc",
        "native/io/http_connection.cc",
        "native/io/tls_session.cc",
        "native/io/page_allocator.cc",
        "native/io/extent_map.cc",
        "native/io/arena_space.cc",
        "native/io/arena.cc",
        "native/virtio/split_queue.cc",
        "native/virtio/guest_memory.cc",
        "native/virtio/fault_guard.cc",
        "native/virtio/device.cc",
        "native/virtio/device_transfers.cc",
        "native/virtio/buffers.cc",
        "native/vhost/unix_socket.cc",
        "native/napi/lane.cc",
        "native/napi/io_pool_env.cc",
        "native/io/helper_team.cc",
        "native/io/io_pool.cc",
        "native/io/descriptor_file.cc",
        "native/io/partial_file.cc",
        "native/napi/arena_binding.cc",
        "native/napi/checksum_binding.cc",
        "native/napi/http_connection_binding.cc",
        "native/napi/lane_binding.cc",
        "native/napi/partial_file_binding.cc",
        "native/napi/posix_binding.cc",
        "native/napi/posix_clone_binding.cc",
        "native/napi/posix_file_binding.cc",
        "native/napi/posix_handle_binding.cc",
        "native/napi/posix_job_binding.cc",
        "native/napi/posix_metadata_binding.cc",
        "native/napi/posix_slow_binding.cc",
        "native/posix/attributes.cc",
        "native/posix/clone.cc",
        "native/posix/credentials.cc",
        "native/posix/directory_listings.cc",
        "native/posix/directory_reader.cc",
        "native/posix/file_handles.cc",
        "native/posix/files.cc",
        "native/posix/inode_flags.cc",
        "native/posix/process.cc",
        "native/posix/xattrs.cc",
        "native/napi/socket_binding.cc"
      ]
    },
    { "target_name": "frontend_test", "sources": ["native/test/frontend.cc"] }
  ]
}
