/**
 * Error numbers as Linux on x86-64 and arm64 numbers them (asm-generic/errno.h). A failed operation
 * returns the negative of one of these; nothing is thrown for an ordinary failure, because a thrown
 * Error costs microseconds and ENOENT is normal traffic.
 */
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const ENFILE = 23;
export const EMFILE = 24;
export const ENOTTY = 25;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EROFS = 30;
export const EMLINK = 31;
export const ERANGE = 34;
export const EDEADLK = 35;
export const ENAMETOOLONG = 36;
export const ENOLCK = 37;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const ENODATA = 61;
export const EPROTO = 71;
export const EOVERFLOW = 75;
export const EILSEQ = 84;
export const EOPNOTSUPP = 95;
export const ESTALE = 116;

/** A negative error number, for example `-ENOENT`. */
export type Errno = number;

/**
 * What an operation answers with: a value, or a negative {@link Errno}. `T` is an object or a string,
 * so `typeof result === "number"` tells the two apart; for operations that answer with a count the
 * sign does.
 */
export type Result<T> = T | Errno;

/** 0 for success, or a negative {@link Errno}. */
export type Status = number;

/** A result now, or a promise where the operation truly has to wait. */
export type Awaitable<T> = T | Promise<T>;
