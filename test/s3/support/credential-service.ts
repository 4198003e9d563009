import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** What such a service gives out. */
export interface IssuedCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
}

interface Issue extends IssuedCredentials {
  readonly expiresMs: number;
}

/** The first ones are renewed as soon as they are looked at again, the others last. */
const FIRST_LIFE_MS = 30_000;
const LIFE_MS = 3_600_000;
const ROLE = "the-role";

/** Answers by path, as each service writes them. */
const ANSWERS: Record<string, (issue: () => Issue) => string> = {
  // STS, AssumeRoleWithWebIdentity
  "POST /": (issue) => {
    const { accessKeyId, secretAccessKey, sessionToken, expiresMs } = issue();
    const expiration = new Date(expiresMs).toISOString();
    const credentials = `<AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${secretAccessKey}</SecretAccessKey><SessionToken>${sessionToken}</SessionToken><Expiration>${expiration}</Expiration>`;
    return `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>${credentials}</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`;
  },
  // A container's agent
  "GET /container": (issue) => roleDocument(issue()),
  // The instance metadata service, version 2
  "PUT /latest/api/token": () => "metadata-token",
  "GET /latest/meta-data/iam/security-credentials/": () => ROLE,
  [`GET /latest/meta-data/iam/security-credentials/${ROLE}`]: (issue) => roleDocument(issue()),
  // IAM Identity Center
  "GET /federation/credentials": (issue) => {
    const { expiresMs: expiration, ...credentials } = issue();
    return JSON.stringify({ roleCredentials: { ...credentials, expiration } });
  },
};

function roleDocument({ accessKeyId, secretAccessKey, sessionToken, expiresMs }: Issue): string {
  return JSON.stringify({
    ...{ Code: "Success", AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken },
    Expiration: new Date(expiresMs).toISOString(),
  });
}

/** The services that give out credentials, on loopback. Each time they are asked they give out others. */
export class CredentialService {
  readonly issued: IssuedCredentials[] = [];
  readonly #server: Server;

  private constructor(onIssue: (issued: IssuedCredentials) => void) {
    const issue = (): Issue => {
      const number = this.issued.length + 1;
      const issued = {
        accessKeyId: `ISSUED${number}`,
        secretAccessKey: `issued-secret-${number}`,
        sessionToken: `issued-token-${number}`,
      };
      this.issued.push(issued);
      onIssue(issued);
      return { ...issued, expiresMs: Date.now() + (number === 1 ? FIRST_LIFE_MS : LIFE_MS) };
    };
    this.#server = createServer((request, response) => {
      const [path = ""] = (request.url ?? "").split("?");
      const name = `${request.method} ${path}`;
      const answer = ANSWERS[name];
      const type = name === "POST /" ? "text/xml" : "application/json";
      response.writeHead(answer === undefined ? 404 : 200, { "content-type": type });
      request.resume().once("end", () => response.end(answer?.(issue)));
    });
  }

  static async start(onIssue: (issued: IssuedCredentials) => void): Promise<CredentialService> {
    const service = new CredentialService(onIssue);
    await new Promise<void>((resolve) => service.#server.listen(0, "127.0.0.1", resolve));
    return service;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
