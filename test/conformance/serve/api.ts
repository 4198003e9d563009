/** What a backend that is tested with `npm run conformance` imports as "virtiofs-gateway". */
export { MemoryBackend } from "../../../backends/memory/memory-backend.js";
export * from "../../../src/vfs/attributes.js";
export * from "../../../src/vfs/backend.js";
export * from "../../../src/vfs/directory-buffer.js";
export * from "../../../src/vfs/errno.js";
export * from "../../../src/vfs/forwarding-backend.js";
export * from "../../../src/vfs/gateway-error.js";
export * from "../../../src/vfs/node.js";
