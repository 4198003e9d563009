import { LaneResult } from "../../native/lane.js";
import type { Awaitable, Status } from "../../vfs/errno.js";
import { negotiate } from "../init.js";
import type { Operation } from "../operations.js";
import { Opcode } from "../protocol.js";
import type { Request } from "../request.js";
import type { FuseSession } from "../session.js";

/** Bytes of one entry of BATCH_FORGET: node id and lookup count. */
const FORGET_ONE_BYTES = 16;

function init(session: FuseSession, request: Request): Awaitable<Status> {
  // A guest that was rebooted says INIT again on the same connection.
  session.reset();
  return negotiate(session, request);
}

function destroy(session: FuseSession): Status {
  session.reset();
  return 0;
}

function forget(session: FuseSession, request: Request): number {
  session.inodes.forget(request.nodeLow, request.nodeHigh, request.number64(0));
  session.forgotten(1);
  return LaneResult.NO_REPLY;
}

function batchForget(session: FuseSession, request: Request): number {
  const entries = request.payload().subarray(8);
  const count = Math.min(request.word(0), Math.floor(entries.length / FORGET_ONE_BYTES));
  for (let i = 0; i < count; i++) {
    const at = i * FORGET_ONE_BYTES;
    const lookups = entries.readUInt32LE(at + 8) + entries.readUInt32LE(at + 12) * 0x1_0000_0000;
    session.inodes.forget(entries.readUInt32LE(at), entries.readUInt32LE(at + 4), lookups);
  }
  session.forgotten(count);
  return LaneResult.NO_REPLY;
}

/**
 * Linux sends none over virtio-fs; other front-ends do. Only what waits for a lock can be interrupted. There
 * is no answer to it, as the protocol wants.
 */
function interrupt(session: FuseSession, request: Request): number {
  session.lockClient.interrupt(request.number64(0));
  return LaneResult.NO_REPLY;
}

function notifyReply(): number {
  return LaneResult.NO_REPLY;
}

export const CONTROL_OPERATIONS: readonly Operation[] = [
  { opcode: Opcode.INIT, name: "INIT", argumentBytes: 8, run: init },
  { opcode: Opcode.DESTROY, name: "DESTROY", argumentBytes: 0, run: destroy },
  { opcode: Opcode.FORGET, name: "FORGET", argumentBytes: 8, run: forget },
  { opcode: Opcode.BATCH_FORGET, name: "BATCH_FORGET", argumentBytes: 8, run: batchForget },
  { opcode: Opcode.INTERRUPT, name: "INTERRUPT", argumentBytes: 8, run: interrupt },
  { opcode: Opcode.NOTIFY_REPLY, name: "NOTIFY_REPLY", argumentBytes: 0, run: notifyReply },
];
