import { describe, expect, test } from "vitest";
import {
  DESC_BYTES,
  DESC_INDIRECT,
  DESC_NEXT,
  DESC_WRITE,
  type Descriptor,
  native,
  OUT_HEADER_BYTES,
} from "../support/frontend/index.js";
import { Attack, REPLY_BYTES, REQUEST_BYTES } from "../support/frontend-attack.js";
import { expectServes, useClient } from "../support/frontend-testing.js";

const RING = 16;
const WRAP = 1n << 64n;

const shared = useClient({
  backend: "memory",
  requestQueues: 2,
  ringSize: RING,
  memoryBytes: 4 << 20,
});

type Build = (attack: Attack) => readonly Descriptor[];

function linked(entries: readonly Descriptor[]): Descriptor[] {
  return entries.map((entry, i) =>
    i + 1 < entries.length ? { ...entry, flags: entry.flags | DESC_NEXT, next: i + 1 } : entry,
  );
}

/** The chain's entries in an indirect table, and the ring entry that points there. */
function indirect(
  attack: Attack,
  entries: readonly Descriptor[],
  changes: Partial<Descriptor> = {},
): Descriptor[] {
  const length = entries.length * DESC_BYTES;
  return [{ address: attack.table(entries), length, flags: DESC_INDIRECT, ...changes }];
}

function plain(attack: Attack): Descriptor[] {
  return linked([attack.request, attack.reply]);
}

/** The request cut into so many pieces, then the reply. */
function pieces(attack: Attack, count: number): Descriptor[] {
  const cut = Array.from({ length: count }, (_, i) =>
    attack.part(attack.request, i, i + 1 < count ? 1 : REQUEST_BYTES - i),
  );
  return linked([...cut, attack.reply]);
}

/** With the last entry's next pointing somewhere. */
function looped(entries: Descriptor[], next: number): Descriptor[] {
  const last = entries.pop() as Descriptor;
  return [...entries, { ...last, flags: last.flags | DESC_NEXT, next }];
}

const ANSWERED: readonly [string, Build][] = [
  ["two descriptors", plain],
  ["as many descriptors as the ring has", (a) => pieces(a, RING - 1)],
  ["an indirect table", (a) => indirect(a, plain(a))],
  ["a table with entries behind the chain's end", (a) => indirect(a, [...plain(a), a.request])],
  [
    "an indirect descriptor that is marked writable",
    (a) => indirect(a, plain(a), { flags: DESC_INDIRECT | DESC_WRITE }),
  ],
  [
    "a table that is not in order",
    (a) =>
      indirect(a, [
        { ...a.request, flags: DESC_NEXT, next: 2 },
        a.request,
        { ...a.reply, flags: DESC_WRITE },
      ]),
  ],
];

const REFUSED: readonly [string, Build][] = [
  ["next is the ring's size", (a) => looped([a.request], RING)],
  ["next is 65535", (a) => looped([a.request], 0xffff)],
  ["a descriptor that follows itself", (a) => looped([a.request], 0)],
  ["a loop of two", (a) => looped(plain(a), 0)],
  ["a loop over the whole ring", (a) => looped(linked(Array(RING).fill(a.request)), 0)],
  ["a loop in the writable part", (a) => looped(plain(a), 1)],
  ["a table of no bytes", (a) => indirect(a, plain(a), { length: 0 })],
  ["a table of 8 bytes", (a) => indirect(a, plain(a), { length: 8 })],
  ["a table of 31 bytes", (a) => indirect(a, plain(a), { length: 31 })],
  ["a table of 33 bytes", (a) => indirect(a, [...plain(a), a.request], { length: 33 })],
  ["a table of 65,537 entries", (a) => indirect(a, plain(a), { length: 65_537 * DESC_BYTES })],
  ["a table of 4 GiB - 16", (a) => indirect(a, plain(a), { length: 0xffff_fff0 })],
  ["a table outside memory", (a) => indirect(a, plain(a), { address: a.end })],
  ["a table across the end of memory", (a) => indirect(a, plain(a), { address: a.end - BigInt(DESC_BYTES) })],
  ["a table that wraps around", (a) => indirect(a, plain(a), { address: WRAP - BigInt(DESC_BYTES) })],
  ["a table in a table", (a) => indirect(a, indirect(a, plain(a)))],
  ["a table at the end of a table", (a) => indirect(a, linked([a.request, ...indirect(a, [a.reply])]))],
  [
    "an indirect descriptor with a next",
    (a) => [...indirect(a, plain(a), { flags: DESC_INDIRECT | DESC_NEXT, next: 1 }), a.reply],
  ],
  ["next beyond the table", (a) => indirect(a, looped(plain(a), 2))],
  ["a loop in a table", (a) => indirect(a, looped(plain(a), 0))],
  ["a writable descriptor before a readable one", (a) => linked([a.reply, a.request])],
  ["a readable descriptor behind the reply", (a) => linked([a.request, a.reply, a.part(a.request, 0, 1)])],
];

function badAddresses(descriptor: Descriptor, end: bigint): Descriptor[] {
  const at = (address: bigint, length = descriptor.length) => ({ ...descriptor, address, length });
  return [
    at(end - BigInt(descriptor.length) + 1n),
    at(end),
    at(end + 4096n),
    at(0n),
    at(1n << 63n),
    at(WRAP - 1n),
    at(WRAP - 1n, 1),
    at(WRAP - 16n, 32),
    at(WRAP - BigInt(descriptor.length)),
    at(descriptor.address, 0xffff_ffff),
    at(descriptor.address, 0x8000_0000),
  ];
}

describe("chains that are legal", () => {
  test.each(ANSWERED)("%s", (_name, build) => {
    const attack = new Attack(shared.fs);
    expect(attack.send(build(attack)).length).toBe(REPLY_BYTES);
    expect(attack.replyErrno).toBe(0);
    expectServes(shared.fs);
  });

  test.each(["request", "reply"] as const)("a %s that ends with the last byte of memory", (which) => {
    const { memory } = shared.fs.frontend;
    const { queue, requestRange, replyRange } = new Attack(shared.fs);
    const size = memory.bytes.length;
    expect(memory.used).toBeLessThan(size - 4096);
    const ranges = { request: requestRange, reply: replyRange };
    const { offset, length } = ranges[which];
    memory.bytes.copyWithin(size - length, offset, offset + length);
    ranges[which] = { offset: size - length, length };
    queue.add([ranges.request], [ranges.reply]);
    queue.kick();
    expect(shared.fs.frontend.waitUsed(queue)).toBe("used");
    expect(queue.take()?.length).toBe(REPLY_BYTES);
  });
});

describe("chains that come back unanswered", () => {
  test.each(REFUSED)("%s", (_name, build) => {
    const attack = new Attack(shared.fs);
    expect(attack.send(build(attack)).length).toBe(0);
    expectServes(shared.fs);
  });

  test.each(["request", "reply"] as const)("a %s with an address outside memory", (which) => {
    const attack = new Attack(shared.fs);
    for (const bad of badAddresses(attack[which], attack.end)) {
      const chain = which === "request" ? [bad, attack.reply] : [attack.request, bad];
      const what = `address ${bad.address.toString(16)}, length ${bad.length}`;
      expect(attack.send(linked(chain)).length, what).toBe(0);
      expect(attack.send(indirect(attack, linked(chain))).length, what).toBe(0);
    }
    expectServes(shared.fs);
  });

  test("a chain without a request", () => {
    const attack = new Attack(shared.fs);
    expect(attack.send([attack.reply]).length).toBe(0);
    expectServes(shared.fs);
  });

  test.each([0, 1, 15])("a reply buffer of %i bytes", (length) => {
    const attack = new Attack(shared.fs);
    const chain = [attack.request, attack.part(attack.reply, 0, length)];
    expect(attack.send(linked(length === 0 ? [attack.request] : chain)).length).toBe(0);
    expectServes(shared.fs);
  });

  test.each([0, 1, 16, 39])("a request of %i bytes", (length) => {
    const attack = new Attack(shared.fs);
    const used = attack.send(linked([attack.part(attack.request, 0, length), attack.reply]));
    expect(used.length).toBeOneOf([0, OUT_HEADER_BYTES]);
    expectServes(shared.fs);
  });
});

describe("chains that are answered with an error, or not at all", () => {
  test.each([0, 39, 40, REQUEST_BYTES - 1, REQUEST_BYTES + 1, 0x7fff_ffff, 0xffff_ffff])(
    "in_header.len of %i",
    (headerLength) => {
      const attack = new Attack(shared.fs, { headerLength });
      const used = attack.send(plain(attack));
      expect(used.length).toBeOneOf([0, OUT_HEADER_BYTES]);
      if (used.length !== 0) expect(attack.replyErrno).not.toBe(0);
      expectServes(shared.fs);
    },
  );

  test.each([16, 17, REPLY_BYTES - 1])("a reply buffer of %i bytes", (length) => {
    const attack = new Attack(shared.fs);
    const used = attack.send(linked([attack.request, attack.part(attack.reply, 0, length)]));
    expect(used.length).toBe(OUT_HEADER_BYTES);
    expect(attack.replyErrno).not.toBe(0);
    expectServes(shared.fs);
  });

  test("descriptors of no bytes among the others", () => {
    const attack = new Attack(shared.fs);
    const empty = attack.part(attack.request, 0, 0);
    const emptyReply = attack.part(attack.reply, 0, 0);
    const chain = linked([empty, attack.request, empty, emptyReply, attack.reply, emptyReply]);
    expect(attack.send(chain).length).toBeOneOf([0, REPLY_BYTES]);
    expectServes(shared.fs);
  });
});

describe("rings that are broken", () => {
  const breaks: readonly [string, (attack: Attack) => void][] = [
    [
      "an index ahead by more than the ring",
      ({ queue }) => {
        queue.setAvailableIndex((queue.takenUsedIndex + RING + 1) & 0xffff);
      },
    ],
    [
      "an index ahead by half of its range",
      ({ queue }) => {
        queue.setAvailableIndex((queue.takenUsedIndex + 0x8000) & 0xffff);
      },
    ],
    [
      "an index that goes back",
      ({ queue }) => {
        queue.setAvailableIndex((queue.takenUsedIndex + 0xffff) & 0xffff);
      },
    ],
    ["a head that is the ring's size", ({ queue }) => queue.publish(RING)],
    ["a head of 65535", ({ queue }) => queue.publish(0xffff)],
  ];

  test.each(breaks)("%s stops that queue only", (_name, publish) => {
    const { fs } = shared;
    expectServes(fs);
    const attack = new Attack(fs);
    attack.breakRing(() => publish(attack));
    for (let i = 0; i < 5; i++) expectServes(fs, 2);
    // What a guest does with a stopped device: reset it.
    fs.frontend.restartQueue(attack.queue);
    expectServes(fs);
  });

  test("an index ahead by exactly the ring is served", () => {
    const { fs } = shared;
    const attack = new Attack(fs);
    attack.publish(indirect(attack, plain(attack)));
    for (let i = 1; i < RING; i++) attack.queue.publish(0);
    attack.queue.forceKick();
    for (let i = 0; i < RING; i++) {
      expect(fs.frontend.waitUsed(attack.queue)).toBe("used");
      expect(attack.queue.take()).toEqual({ head: 0, length: REPLY_BYTES });
    }
    expectServes(fs);
  });

  test("kicks without anything to do are harmless", () => {
    const { fs } = shared;
    const [hiprio, first] = fs.frontend.queues;
    for (let i = 0; i < 100; i++) {
      native.eventSignal(hiprio?.kickFd ?? -1);
      native.eventSignal(first?.kickFd ?? -1);
    }
    expectServes(fs);
  });
});
