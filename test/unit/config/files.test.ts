import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createProgram, optionNames } from "../../../src/cli/program.js";
import { shareJsonSchema } from "../../../src/config/json-schema.js";
import { parseShareConfig } from "../../../src/config/parse.js";

const CONFIG = new URL("../../../config/", import.meta.url);

function read(name: string): string {
  return readFileSync(new URL(name, CONFIG), "utf8");
}

function scalar(text: string): unknown {
  return /^(true|false|\d+)$/.test(text) ? JSON.parse(text) : text;
}

/** The examples are flat: `name: value` lines and comments. */
function readFlatYaml(name: string): Record<string, unknown> {
  const lines = read(name)
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => {
      const [key = "", value = ""] = line.split(": ", 2);
      return [key, scalar(value)];
    }),
  );
}

it("share.schema.json is what `npm run schema` writes", () => {
  expect(read("share.schema.json")).toBe(shareJsonSchema());
});

describe("examples", () => {
  it.each(readdirSync(new URL("examples/", CONFIG)))("%s is a valid share", (name) => {
    const settings = readFlatYaml(`examples/${name}`);
    expect(parseShareConfig(settings)).toMatchObject({ backend: settings.backend });
  });
});

it("the vhost-user descriptor has what libvirt reads", () => {
  expect(JSON.parse(read("50-virtiofs-gateway.json"))).toEqual({
    description: expect.any(String),
    type: "fs",
    binary: expect.stringMatching(/^\/.*\/virtiofs-gateway$/),
    features: ["separate-options"],
  });
});

it("the systemd unit uses options that exist", () => {
  const options = read("virtiofs-gateway@.service").match(/--[a-z][a-z-]+(?=[= ])/g) ?? [];
  const known = [...optionNames(createProgram()), "--now"];
  expect(options.length).toBeGreaterThan(0);
  expect(options.filter((option) => !known.includes(option))).toEqual([]);
});
