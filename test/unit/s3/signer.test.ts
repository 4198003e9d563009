import { expect, it } from "vitest";
import { Signer } from "../../../backends/s3/store/signer.js";
import { encodeKey, encodeQuery } from "../../../backends/s3/store/uri.js";

// The examples of AWS: "Signature calculations for the Authorization header", in the API reference of S3.
const CREDENTIALS = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};
const NOW = Date.parse("2013-05-24T00:00:00Z");
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

function sign(method: string, path: string, query: string, headers: string[], payload = EMPTY): string {
  const all = ["host", "examplebucket.s3.amazonaws.com", ...headers];
  new Signer("us-east-1").sign({ method, path, query, headers: all, payload }, CREDENTIALS, NOW);
  return all.at(-1) ?? "";
}

it("signs a ranged GET", () => {
  expect(sign("GET", "/test.txt", "", ["range", "bytes=0-9"])).toBe(
    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );
});

it("signs a PUT with a body and a key that needs encoding", () => {
  const headers = ["date", "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class", "REDUCED_REDUNDANCY"];
  const payload = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
  expect(sign("PUT", encodeKey("/test$file.text"), "", headers, payload)).toMatch(
    /Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd$/,
  );
});

it("signs queries", () => {
  expect(sign("GET", "/", encodeQuery({ lifecycle: "" }), [])).toMatch(
    /Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543$/,
  );
  expect(sign("GET", "/", encodeQuery({ prefix: "J", "max-keys": "2", marker: undefined }), [])).toMatch(
    /Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7$/,
  );
});

it("derives another key for another day and for other credentials", () => {
  const signer = new Signer("us-east-1");
  const signatures = [
    [CREDENTIALS, NOW],
    [CREDENTIALS, Date.parse("2013-05-25T00:00:00Z")],
    [{ ...CREDENTIALS, secretAccessKey: "another" }, NOW],
    [CREDENTIALS, NOW],
  ].map(([credentials, now]) => {
    const headers: string[] = [];
    const request = { method: "GET", path: "/", query: "", headers, payload: EMPTY };
    signer.sign(request, credentials as typeof CREDENTIALS, now as number);
    return headers.at(-1);
  });
  expect(new Set(signatures).size).toBe(3);
  expect(signatures[3]).toBe(signatures[0]);
});
