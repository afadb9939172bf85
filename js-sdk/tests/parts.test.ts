import 'fake-indexeddb/auto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { KilnError, Tensor } from '../src/index.js';
import { clockStep, measure, sampleLength } from '../src/compiler/measure.js';
import { earlyMemory, earlyPlace, Landing, landsAnyway } from '../src/host/landing.js';
import { Prefetcher } from '../src/host/prefetch.js';
import { newArrivalWords, runAhead, setComplete, stopAhead } from '../src/host/run_ahead.js';
import type { ByteSource } from '../src/host/reader.js';
import { WeightWriter } from '../src/host/weights.js';
import { fileStore, indexedDbStore } from '../src/main/stores.js';
import { mergeWisdom, remember } from '../src/main/wisdom.js';
import { fromPlain, toPlain } from '../src/shared/errors.js';
import { localPorts } from '../src/shared/local_port.js';
import { createMailbox, MailboxClient, MailboxServer, type MailboxHandle } from '../src/shared/mailbox.js';
import { parseManifest, type PortInfo, type Transfer } from '../src/shared/manifest.js';
import { createMemory, kBase } from '../src/shared/memory.js';
import { turn } from '../src/shared/turn.js';
import type { RunAhead } from '../src/shared/messages.js';
import { orderInputs, packInputs } from '../src/tensor.js';
import { assemble } from './support/fake_compiler.js';
import { kBadIndex, manifest, modelWat } from './support/tiny_model.js';

describe('Tensor', () => {
  it('converts plain arrays and keeps arrays of its own kind', () => {
    const data = new Float32Array([1, 2]);
    expect(new Tensor('float32', data).data).toBe(data);
    expect(new Tensor('int64', new Int32Array([1, -2])).data).toEqual(new BigInt64Array([1n, -2n]));
    expect(new Tensor('int64', [3]).data).toEqual(new BigInt64Array([3n]));
    expect(new Tensor('int64', [3n]).data).toEqual(new BigInt64Array([3n]));
    expect(new Tensor('uint64', [3n, 2n ** 64n - 1n]).data).toEqual(new BigUint64Array([3n, 2n ** 64n - 1n]));
    expect(new Tensor('uint32', [2 ** 32 - 1]).data).toEqual(new Uint32Array([2 ** 32 - 1]));
    expect(new Tensor('int16', [-(2 ** 15)]).data).toEqual(new Int16Array([-(2 ** 15)]));
    expect(new Tensor('uint16', [2 ** 16 - 1]).data).toEqual(new Uint16Array([2 ** 16 - 1]));
    expect(new Tensor('bool', [true, false]).data).toEqual(new Uint8Array([1, 0]));
    expect(new Tensor('float32', [], [0, 3]).shape).toEqual([0, 3]);
    expect(new Tensor('float32', [7], []).shape).toEqual([]);
  });

  it.each([
    ['a wrong count', () => new Tensor('float32', [1, 2, 3], [2, 2])],
    ['a negative dim', () => new Tensor('float32', [1], [-1])],
    ['a fraction as int64', () => new Tensor('int64', [1.5])],
    ['an unknown type', () => new Tensor('float8' as 'float32', [1])],
  ])('refuses %s', (_, make) => expect(make).toThrow(KilnError));

  it('comes in the order of the ports', () => {
    const port = (name: string): PortInfo => ({ name, dtype: 'float32', shape: [1] });
    const [a, b] = orderInputs([port('a'), port('b')], { b: new Tensor('float32', [2]), a: new Tensor('float32', [1]) });
    expect([a?.[0], b?.[0]]).toEqual([1, 2]);
  });

  it('is packed into a spare buffer', () => {
    const spare = new Float32Array([7, 7]).buffer;
    const whole = new Float32Array([0, 1, 2, 3]);
    const [packed] = packInputs([whole.subarray(1, 3)], [spare]);
    expect(packed).toBe(spare);
    expect(new Float32Array(spare)).toEqual(new Float32Array([1, 2]));
  });
});

describe('ports in one thread', () => {
  it('pass messages in order, as copies', async () => {
    const [here, there] = localPorts();
    const got: unknown[] = [];
    there.onmessage = ({ data }) => got.push(data);
    const buffer = new ArrayBuffer(8), kept = { n: 1 };
    here.postMessage({ buffer, kept }, [buffer]);
    expect(buffer.byteLength).toBe(0);
    kept.n = 2;
    for (let i = 0; i < 9; i++) here.postMessage(i, []);
    await turn();
    await turn();
    expect(got).toEqual([{ buffer: new ArrayBuffer(8), kept: { n: 1 } }, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('let other tasks run while messages go to and fro', async () => {
    const [here, there] = localPorts();
    there.onmessage = ({ data }) => there.postMessage(data, []);
    let fired = false;
    setTimeout(() => (fired = true), 20);
    while (!fired) {
      await new Promise<void>((resolve) => {
        here.onmessage = () => resolve();
        here.postMessage(null, []);
      });
    }
  });

  it('lose what comes after the end, and go on after a handler that throws', async () => {
    const [here, there] = localPorts();
    const got: unknown[] = [];
    const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
    there.onmessage = ({ data }) => {
      if (data === 0) throw new Error('of the handler');
      got.push(data);
    };
    here.postMessage(0, []);
    here.postMessage(1, []);
    expect(await thrown).toMatchObject({ message: 'of the handler' });
    expect(got).toEqual([1]);
    there.close?.();
    here.postMessage(2, []);
    await turn();
    expect(got).toEqual([1]);
  });
});

describe('the mailbox', () => {
  /** The host here, behind a message: it doubles what it reads. */
  function pair(turn: (() => Promise<void>) | null = null, soon = (attend: () => void): unknown => setTimeout(attend, 0)): { client: MailboxClient; fetches: () => number } {
    const handle = createMailbox([8, 4], [8], null) as MailboxHandle;
    let failure = new Error('nothing failed');
    let fetches = 0;
    const run = ([x, flag]: Uint8Array[], [y]: Uint8Array[]): void => {
      if (flag?.[0]) throw new KilnError('bad-input', 'no such token');
      const read = x as Uint8Array;
      y?.set(read.map((value) => 2 * value));
    };
    const server = new MailboxServer(handle, run, (thrown) => (failure = thrown as Error));
    const fetch = (): void => {
      fetches++;
      soon(() => void server.attend());
    };
    return { client: new MailboxClient(handle, fetch, () => Promise.reject(failure), turn), fetches: () => fetches };
  }
  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

  it('passes views of any array, one run after the other', async () => {
    const { client, fetches } = pair();
    const whole = bytes(9, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    for (let i = 0; i < 3; i++) {
      const [y] = await client.run([whole.subarray(1, 9), bytes(0, 0, 0, 0)]);
      expect(new Uint8Array(y as ArrayBuffer)).toEqual(bytes(2, 4, 6, 8, 10, 12, 14, 16));
    }
    expect(fetches()).toBe(3); // by then the host attended no more
  });

  it('reads the inputs before it returns', async () => {
    const { client } = pair();
    const x = bytes(1, 1, 1, 1, 1, 1, 1, 1);
    const answer = client.run([x, bytes(0, 0, 0, 0)]);
    x.fill(50);
    expect(new Uint8Array((await answer)[0] as ArrayBuffer)[7]).toBe(2);
  });

  it('brings errors, and works after one', async () => {
    const { client } = pair();
    await expect(client.run([new Uint8Array(8), bytes(1, 0, 0, 0)])).rejects.toMatchObject({ code: 'bad-input' });
    expect(new Uint8Array((await client.run([new Uint8Array(8).fill(4), bytes(0, 0, 0, 0)]))[0] as ArrayBuffer)[0]).toBe(8);
  });

  it('lets messages and timers have their turn, however many runs there are', async () => {
    const handle = createMailbox([], [], null) as MailboxHandle;
    const words = new Int32Array(handle.words, 0, 48);
    let runs = 0;
    const kMany = 2000;
    const server = new MailboxServer(handle, () => {
      for (const until = performance.now() + 1; performance.now() < until; );
      if (++runs < kMany) words[0] = (words[0] as number) + 1; // the page asks for the next before this one is done
    }, () => undefined);
    let heard = 0;
    setTimeout(() => (heard ||= runs), 0);
    words[0] = 1;
    const attending = server.attend();
    while (!heard) await new Promise((resolve) => setTimeout(resolve, 0));
    expect(heard).toBeLessThan(kMany / 2);
    runs = kMany;
    await attending;
  });

  it('does other work between runs, and waits little', async () => {
    const handle = createMailbox([], [], null) as MailboxHandle;
    let work = 5, runs = 0;
    const server = new MailboxServer(handle, () => { runs++; }, () => undefined, () => work > 0);
    const wait = vi.spyOn(Atomics, 'wait');
    new Int32Array(handle.words)[0] = 1;
    const attending = server.attend();
    for (; work > 0; work--) await turn();
    expect(wait).toHaveBeenCalled();
    expect(Math.max(...wait.mock.calls.map(([, , , ms]) => ms ?? Infinity))).toBeLessThan(5);
    await attending;
    expect(runs).toBe(1);
    wait.mockRestore();
  });

  it('stays awake for a while where the last run was quick, and sleeps then', async () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(0); // every run is quick
    for (const inVain of [false, true]) {
      const kTurns = 40;
      let turns = 0, attend: (() => void) | null = null;
      const turn = (): Promise<void> => {
        turns++;
        return new Promise((resolve) => setTimeout(resolve, 0)).then(() => {
          if (turns === kTurns && attend) setTimeout(attend, 0);
        });
      };
      let late = false;
      const { client } = pair(turn, (serve) => (late ? (attend = serve) : setTimeout(serve, 0)));
      const seen: number[] = [];
      for (let i = 0; i < 3; i++) {
        turns = 0;
        late = inVain && i === 1;
        const [y] = await client.run([new Uint8Array(8).fill(i), bytes(0, 0, 0, 0)]);
        expect(new Uint8Array(y as ArrayBuffer)[0]).toBe(2 * i);
        seen.push(turns);
      }
      expect(seen[0]).toBe(0); // nothing was known of it
      expect(seen[1]).toBeGreaterThan(0);
      if (inVain) expect(seen[2]).toBe(0);
      else expect(seen[2]).toBeGreaterThan(0);
    }
    clock.mockRestore();
  });

  it('rejects what waits when it is closed, awake or asleep', async () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(0);
    for (const before of [0, 1]) {
      let answers = true;
      const handle = createMailbox([], [], null) as MailboxHandle;
      const server = new MailboxServer(handle, () => undefined, () => undefined);
      const client = new MailboxClient(handle, () => void (answers && server.attend()), () => Promise.reject(new Error()), () => new Promise((resolve) => setTimeout(resolve, 1)));
      for (let i = 0; i < before; i++) await client.run([]);
      answers = false;
      const never = client.run([]);
      client.close(new KilnError('disposed', 'gone'));
      await expect(never).rejects.toMatchObject({ code: 'disposed' });
    }
    clock.mockRestore();
  });

  it('keeps what is written to a slot', async () => {
    const { client } = pair();
    const x = client.slot(0);
    x.fill(7);
    for (const last of [7, 9]) {
      x[7] = last;
      const [y] = await client.run([x, bytes(0, 0, 0, 0)]);
      expect(new Uint8Array(y as ArrayBuffer)).toEqual(bytes(14, 14, 14, 14, 14, 14, 14, 2 * last));
    }
  });

  it('leaves what is large in the memory of the model, or to messages', () => {
    const own = { buffer: new SharedArrayBuffer(64), inputs: [{ at: 0, bytes: 8 << 20 }], outputs: [] };
    expect(createMailbox([8 << 20], [4], null)).toBeNull();
    expect(createMailbox([8 << 20], [4], own)?.slots).toBe(own);
    expect(createMailbox([8], [4], own)?.slots).not.toBe(own);
  });
});

describe('Landing', () => {
  const file = Uint8Array.from({ length: 300 }, (_, i) => i % 251);
  const streamOf = (size: number): Prefetcher => {
    let at = 0;
    const read = (): Promise<Uint8Array | null> => Promise.resolve(at < file.length ? file.slice(at, (at += size)) : null);
    return new Prefetcher({ name: 'm', size: undefined, cancel: () => undefined, read }, 1000, () => undefined);
  };
  const ticks = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

  it.each([1, 7, 100, 300])('takes what there is room for, and passes all on in order, in chunks of %d', async (size) => {
    for (const [room, extended] of [[0, false], [75, false], [75, true], [300, false]] as const) {
      const memory = new Uint8Array(1000);
      const landing = new Landing(streamOf(size), memory.subarray(500, 800), room);
      const transfers = [0, 150].map((offset) => ({ segment: 0, offset, size: 150, address: 500 + offset, phase: -1 })); // where they land
      let writer: WeightWriter | null = null;
      const reading = landing.read(() => writer?.complete ?? false);
      await ticks();
      if (extended) landing.extend();
      await ticks();
      const landed = extended ? 300 : room;
      expect(memory.slice(500, 500 + landed)).toEqual(file.slice(0, landed));
      expect(memory.slice(500 + landed).every((byte) => byte === 0)).toBe(true);
      writer = new WeightWriter(transfers, memory, 0, () => undefined);
      landing.pass(writer);
      await reading;
      expect(writer.complete).toBe(true);
      expect(memory.slice(500, 800)).toEqual(file);
    }
  });

  it('has no early place when nobody knows how much there is, or where it is little or too much', () => {
    for (const bytes of [-1, 0, 1000, 2 ** 32]) expect(earlyPlace(bytes)).toBe(0);
    const bytes = 1e6 + 2 ** 20;
    const at = earlyPlace(bytes);
    expect(at % 64).toBe(0);
    const memory = earlyMemory(at, bytes, true);
    expect(memory?.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(memory?.buffer.byteLength).toBeGreaterThanOrEqual(1024 + at + bytes);
    expect(landsAnyway(bytes)).toBeLessThanOrEqual(bytes / 4);
  });
});

describe('running ahead', () => {
  const begin = (...x: number[]): { ahead: RunAhead; floats: Float32Array } => {
    const { memory: layout, stepNeeds: needs, inputs } = manifest();
    const memory = createMemory(kBase + layout.total, { shared: true, memory64: false });
    const floats = new Float32Array(memory.buffer);
    floats.set(x, (kBase + (inputs[0]?.address ?? 0)) / 4);
    const module = new WebAssembly.Module(assemble(modelWat(true)) as Uint8Array<ArrayBuffer>);
    return { floats, ahead: { module, memory, memory64: false, base: kBase, control: kBase + layout.control, needs, arrival: newArrivalWords() } };
  };

  it('goes as far as weights are there', () => {
    const { ahead, floats } = begin(1, 2, 3, 4);
    const { memory: layout, outputs } = manifest();
    floats.set([1, 1, 1, 1], (kBase + layout.weights) / 4);
    setComplete(ahead.arrival, 2);
    expect(runAhead(ahead)).toBe(2);
    const at = (kBase + (outputs[0]?.address ?? 0)) / 4;
    expect([...floats.subarray(at, at + 4)]).toEqual([1, 2, 3, 4]);
  });

  it('leaves the rest when it is stopped, or the run is over', () => {
    const { ahead } = begin(1, 2, 3, 4);
    stopAhead(ahead.arrival);
    expect(runAhead(ahead)).toBe(0);
    const { ahead: bad } = begin(kBadIndex, 0, 0, 0);
    setComplete(bad.arrival, 2);
    expect(runAhead(bad)).toBe(1);
  });
});

describe('WeightWriter', () => {
  const transfer = (offset: number, size: number, address: number): Transfer => ({ segment: 0, offset, size, address, phase: -1 });
  const file = Uint8Array.from({ length: 300 }, (_, i) => i % 251);

  it.each([1, 3, 64, 100, 300])('reassembles in chunks of %d, with gaps, shared bytes and empty transfers', (size) => {
    const transfers = [transfer(0, 0, 0), transfer(5, 60, 400), transfer(5, 60, 500), transfer(128, 0, 0), transfer(128, 100, 100)];
    const memory = new Uint8Array(700);
    const done: number[] = [];
    const writer = new WeightWriter(transfers, memory, 8, (t) => {
      done.push(transfers.indexOf(t));
      expect(memory.slice(8 + t.address, 8 + t.address + t.size)).toEqual(file.slice(t.offset, t.offset + t.size));
    });
    for (let at = 0; at < file.length; at += size) writer.feed(file.subarray(at, at + size));
    expect(done).toEqual([0, 1, 2, 3, 4]);
    expect(() => writer.end('m')).not.toThrow();
  });

  it('moves what lies in the same memory already, also over itself', () => {
    const memory = new Uint8Array(600);
    memory.set(file, 300);
    const writer = new WeightWriter([transfer(0, 200, 250), transfer(200, 100, 500)], memory, 0, () => undefined);
    for (let at = 0; at < 300; at += 75) writer.feed(memory.subarray(300 + at, 375 + at));
    expect(memory.slice(250, 450)).toEqual(file.slice(0, 200));
    expect(memory.slice(500, 600)).toEqual(file.slice(200));
  });

  it('does not touch a later transfer before an earlier one is done', () => {
    const memory = new Uint8Array(64);
    const writer = new WeightWriter([transfer(0, 8, 0), transfer(8, 8, 0)], memory, 0, (t) => expect(memory[0]).toBe(file[t.offset]));
    writer.feed(file.subarray(0, 16));
    expect(writer.complete).toBe(true);
  });

  it('says where a truncated file ends', () => {
    const writer = new WeightWriter([transfer(0, 80, 0)], new Uint8Array(80), 0, () => undefined);
    writer.feed(file.subarray(0, 79));
    expect(() => writer.end('m.kiln')).toThrow('after 79 of 80 bytes');
  });
});

describe('Prefetcher', () => {
  const source = (chunks: number[], onRead = (): void => undefined): ByteSource => ({
    name: 'test', size: undefined, cancel: () => undefined,
    read: () => (onRead(), Promise.resolve(chunks.length ? new Uint8Array(chunks.shift() ?? 0).fill(1) : null)),
  });

  it('takes across chunks and puts back what is left', async () => {
    const stream = new Prefetcher(source([3, 3, 3]), 1000, () => undefined);
    expect((await stream.take(4)).length).toBe(4);
    expect((await stream.next())?.length).toBe(2);
    expect((await stream.take(9)).length).toBe(3);
    expect(await stream.next()).toBe(null);
  });

  it('reads ahead no further than its buffer', async () => {
    let reads = 0;
    const stream = new Prefetcher(source(Array<number>(100).fill(10), () => reads++), 1000, () => undefined, 40);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(reads).toBe(4);
    for (let i = 0; i < 100; i++) expect((await stream.next())?.length).toBe(10);
    expect(await stream.next()).toBe(null);
  });
});

describe('wisdom', () => {
  const of = (...entries: [string, number][]): string => JSON.stringify({ 'wasmkiln-wisdom': 1, entries: entries.map(([spec, ns]) => ({ scope: 's', spec, schedule: `${ns}`, ns })) });
  const nsOf = (json: string): number[] => (JSON.parse(json) as { entries: { ns: number }[] }).entries.map(({ ns }) => ns);

  it('keeps the faster of two, and ignores what it cannot read', () => {
    expect(nsOf(mergeWisdom([of(['a', 5], ['b', 7]), null, '{', '{"wasmkiln-wisdom":2,"entries":[]}', of(['a', 6], ['b', 3])]))).toEqual([5, 3]);
  });

  it('is kept in IndexedDB and in files, per device', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kiln-'));
    for (const store of [indexedDbStore(), fileStore(join(folder, 'deep'))]) {
      expect(await store.load('A')).toBe(null);
      expect(await remember(store, 'A', of(['a', 5]))).toBe(null);
      expect(await remember(store, 'A', of(['a', 4], ['b', 9]))).toBe(null);
      expect(nsOf((await store.load('A')) ?? '')).toEqual([4, 9]);
      expect(await store.load('B')).toBe(null);
    }
    await rm(folder, { recursive: true });
  });
});

describe('measuring', () => {
  it('takes the minimum of interleaved samples, marks failures and gives up what is far behind', () => {
    let time = 0;
    const order: string[] = [];
    const now = (): number => (time += 1e-4);
    const candidate = (name: string, ms: number): Parameters<typeof measure>[0][number] => ({ flops: 1e6, bench: (repeats) => (order.push(name), (time += ms * repeats)) });
    const trap = { flops: 1, bench: () => { throw new Error('trap'); } };
    const ns = measure([candidate('a', 0.01), trap, candidate('b', 0.011), candidate('c', 0.1)], 1, Infinity, now);
    expect(ns[0]).toBeCloseTo(1e4, -2);
    expect(ns[1]).toBe(-1);
    expect(ns[2]).toBeCloseTo(1.1e4, -2);
    expect(order.slice(-10)).toEqual(['a', 'b', 'a', 'b', 'a', 'b', 'a', 'a', 'a', 'a']);
    expect(ns[3]).toBeCloseTo(1e5, -2);
    expect(order.filter((name) => name === 'c').length).toBeLessThan(order.filter((name) => name === 'a').length);
  });

  it('takes few samples of what takes long', () => {
    let time = 0;
    let runs = 0;
    measure([{ flops: 1e9, bench: (repeats) => ((runs += repeats), (time += 20 * repeats)) }], 1, Infinity, () => time);
    expect(runs).toBe(2 + 3); // warm, and told how long it takes
  });

  it('takes samples as long as the longest of those that may win', () => {
    let time = 0;
    const repeats: number[] = [];
    const quick = { flops: 1e9, bench: (count: number) => (repeats.push(count), (time += count)) };
    const long = { flops: 1e10, bench: (count: number) => (time += 10 * count) };
    const hopeless = { flops: 1e10, bench: (count: number) => (time += 100 * count) };
    measure([quick, long, hopeless], 1, Infinity, () => time);
    expect(repeats.slice(2)).toEqual([10, 10, 10]);
  });

  it('ends a duel that is too short without a winner', () => {
    let time = 0;
    const one = { flops: 1e6, bench: (repeats: number) => (time += repeats) };
    expect(measure([one, one], 1, -1, () => time, true)).toEqual([-1, -1]);
    expect(measure([one, one], 1, Infinity, () => time, true)).toEqual([1e6, 1e6]);
    expect(measure([one, one], 1, -1, () => time)).toEqual([1e6, 1e6]); // no duel
  });

  it('takes one sample of each when the budget is spent', () => {
    let time = 0;
    const ns = measure([{ flops: 1e6, bench: (repeats) => (time += repeats) }], 1, -1, () => time);
    expect(ns).toEqual([1e6]);
  });

  it('scales samples to the budget and the clock', () => {
    expect(sampleLength(4000, 0.005)).toBe(0.3);
    expect(sampleLength(100, 0.005)).toBe(0.25);
    expect(sampleLength(100, 1)).toBe(20);
    let reads = 0;
    expect(clockStep(() => Math.floor(reads++ / 7) * 0.1)).toBeCloseTo(0.1);
  });
});

describe('messages', () => {
  it('errors keep code, place and cause across threads', () => {
    const error = fromPlain(structuredClone(toPlain(new KilnError('bad-file', 'm', { where: 'w', cause: new TypeError('t') }))));
    expect(error).toMatchObject({ code: 'bad-file', message: 'm', where: 'w', cause: 'TypeError: t' });
    expect(toPlain(new RangeError('r'))).toMatchObject({ code: 'internal', cause: 'RangeError: r' });
  });

  it('a manifest that does not fit is refused', () => {
    expect(parseManifest(JSON.stringify(manifest()))).toEqual(manifest());
    const broken = manifest();
    (broken.inputs[0] as { bytes: number }).bytes = 8;
    expect(() => parseManifest(JSON.stringify(broken))).toThrow(KilnError);
    expect(() => parseManifest('{}')).toThrow(KilnError);
  });
});
