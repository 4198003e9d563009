import { addon } from "./addon.js";

/** Unix sockets that carry descriptors, as the addon offers them. Numbers below 0 are -errno. */
interface SocketBinding {
  listenUnix(path: string, group: number): number;
  lockFile(path: string): number;
  accept(listener: number): number;
  receive(socket: number, into: Uint8Array, descriptors: Int32Array): number;
  send(socket: number, bytes: Uint8Array): number;
  closeDescriptor(fd: number): void;
  watch(fd: number, onReadable: () => void): (() => void) | number;
}

const binding = addon as SocketBinding;

/**
 * Listens on a unix socket at `path`, replacing an old socket there. Mode 0600, or 0660 owned by group id
 * `group`. @returns a descriptor, or -errno (ENAMETOOLONG, EEXIST when something else lies there, EACCES)
 */
export function listenUnix(path: string, group = -1): number {
  return binding.listenUnix(path, group);
}

/** Opens and locks a file for as long as the returned descriptor is open; -EAGAIN when it is locked. */
export function lockFile(path: string): number {
  return binding.lockFile(path);
}

/** Accepts a connection that is there; -EAGAIN when none is. */
export function accept(listener: number): number {
  return binding.accept(listener);
}

/**
 * Receives what has arrived. @returns the byte count, 0 when the peer has closed, or -errno
 * @param descriptors element 0 becomes the count of descriptors that follow it, -1 when there were more
 *   than fit (they are closed then)
 */
export function receive(socket: number, into: Uint8Array, descriptors: Int32Array): number {
  return binding.receive(socket, into, descriptors);
}

/** Sends all bytes; waits at most a second for room. @returns the byte count or -errno */
export function send(socket: number, bytes: Uint8Array): number {
  return binding.send(socket, bytes);
}

/** Closes a descriptor; -1 is ignored. */
export function closeDescriptor(fd: number): void {
  binding.closeDescriptor(fd);
}

/**
 * Calls `onReadable` whenever `fd` has data or is hung up, until the returned function is called.
 * `fd` has to stay open until then. @returns the stop function, or an errno
 */
export function watch(fd: number, onReadable: () => void): (() => void) | number {
  const stop = binding.watch(fd, onReadable);
  if (typeof stop === "number") {
    return stop;
  }
  let stopped = false;
  return () => {
    if (!stopped) {
      stopped = true;
      stop();
    }
  };
}
