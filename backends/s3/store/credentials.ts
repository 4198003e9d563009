import type { S3Client as SdkClient } from "@aws-sdk/client-s3";
import { GatewayError } from "../../../src/vfs/gateway-error.js";
import type { Credentials } from "./signer.js";

/** Where the credentials of requests come from. */
export interface CredentialSource {
  /** Undefined: requests are not signed. Rejects with a GatewayError where there are none. */
  current(): Credentials | undefined | Promise<Credentials | undefined>;
  /** Asks for new ones, as the server called these expired. Resolves to whether there is hope. */
  refresh(): Promise<boolean>;
}

/** For public buckets, and for credentials that are given and stay. */
export class FixedCredentials implements CredentialSource {
  readonly #credentials: Credentials | undefined;

  constructor(credentials: Credentials | undefined) {
    this.#credentials = credentials;
  }
  current(): Credentials | undefined {
    return this.#credentials;
  }
  refresh(): Promise<boolean> {
    return Promise.resolve(false);
  }
}

/** Renewed so long before they expire. */
const MARGIN_MS = 60_000;

type SdkCredentials = Credentials & { readonly expiration?: Date };

/** The SDK's chain: environment, profile, SSO, web identity, container, instance metadata. */
export class ChainCredentials implements CredentialSource {
  readonly #provide: (options?: { forceRefresh?: boolean }) => Promise<SdkCredentials>;
  #known: SdkCredentials | undefined;
  #pending: Promise<SdkCredentials> | undefined;

  constructor(client: SdkClient) {
    this.#provide = client.config.credentials;
  }

  current(): Credentials | Promise<Credentials> {
    const known = this.#known;
    if (known === undefined) return this.#ask(false);
    const left = known.expiration === undefined ? Infinity : known.expiration.getTime() - Date.now();
    return left > MARGIN_MS ? known : this.#ask(true);
  }

  async refresh(): Promise<boolean> {
    const before = this.#known;
    const { accessKeyId, sessionToken } = await this.#ask(true);
    return accessKeyId !== before?.accessKeyId || sessionToken !== before.sessionToken;
  }

  #ask(forceRefresh: boolean): Promise<SdkCredentials> {
    this.#pending ??= this.#load(forceRefresh).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #load(forceRefresh: boolean): Promise<SdkCredentials> {
    try {
      this.#known = await this.#provide({ forceRefresh });
      return this.#known;
    } catch (cause) {
      const { expiration } = this.#known ?? {};
      // Renewed in time, the old ones are still good.
      if (this.#known !== undefined && expiration !== undefined && expiration.getTime() > Date.now()) {
        return this.#known;
      }
      const reason = cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause);
      throw new GatewayError("environment", `no AWS credentials: ${reason}`, { cause });
    }
  }
}
