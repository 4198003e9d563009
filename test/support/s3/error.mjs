// @ts-check

/** A request that fails the way S3 says it. */
export class S3Error extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {Record<string, string>} [details] More elements of the error document.
   */
  constructor(status, code, message, details = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export const noSuchKey = () => new S3Error(404, "NoSuchKey", "The specified key does not exist.");
export const noSuchUpload = () =>
  new S3Error(404, "NoSuchUpload", "The specified multipart upload does not exist.");
export const preconditionFailed = (/** @type {string} */ condition) =>
  new S3Error(412, "PreconditionFailed", "At least one of the preconditions you specified did not hold", {
    Condition: condition,
  });
export const invalidArgument = (/** @type {string} */ message) =>
  new S3Error(400, "InvalidArgument", message);
