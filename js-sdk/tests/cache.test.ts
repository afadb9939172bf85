// The cache over a file system in memory: what it keeps, what it shares, what it notices, and what it does when there is no room.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Cache, type Entry, type Helpers, type Key } from '../src/host/cache.js';
import { cut } from '../src/host/cuts.js';
import { Digest } from '../src/host/digest.js';
import { Pace } from '../src/host/pace.js';
import { restoreBlocks, type AccessHandle } from '../src/host/restore.js';
import { kBlockBytes } from '../src/shared/manifest.js';
import type { CompileResult, CompileSettings } from '../src/shared/messages.js';
import { turn } from '../src/shared/turn.js';
import { randoms } from './support/randoms.js';

const kHour = 3_600_000;

class FakeFile {
  bytes = new Uint8Array(0);
  lastModified = 0;
  open = false;
  constructor(private readonly disk_: FakeFolder) {}
  get size(): number {
    return this.bytes.length;
  }
  getFile = (): Promise<this> => Promise.resolve(this);
  arrayBuffer = (): Promise<ArrayBuffer> => Promise.resolve(this.bytes.slice().buffer);
  createSyncAccessHandle(): Promise<object> {
    if (this.open) return Promise.reject(new Error('locked'));
    this.open = true;
    const write = (from: Uint8Array, { at }: { at: number }): number => {
      const grown = new Uint8Array(Math.max(this.bytes.length, at + from.length));
      if (this.disk_.used - this.bytes.length + grown.length > this.disk_.room) throw new Error('QuotaExceededError');
      grown.set(this.bytes);
      grown.set(from, at);
      this.bytes = grown;
      this.lastModified = this.disk_.clock++;
      this.disk_.written += from.length;
      return from.length;
    };
    const read = (into: Uint8Array, { at }: { at: number }): number => {
      const part = this.bytes.subarray(at, at + into.length);
      into.set(part);
      return part.length;
    };
    const truncate = (size: number): Uint8Array => (this.bytes = this.bytes.slice(0, size));
    return Promise.resolve({ read, write, truncate, getSize: () => this.bytes.length, flush: () => undefined, close: () => (this.open = false) });
  }
}

class FakeFolder {
  files = new Map<string, FakeFile>();
  room = Infinity;
  written = 0;
  clock = Date.now() - 2 * kHour;
  get used(): number {
    return [...this.files.values()].reduce((sum, { size }) => sum + size, 0);
  }
  getFileHandle(name: string, options?: { create: boolean }): Promise<FakeFile> {
    if (!this.files.has(name) && !options?.create) return Promise.reject(new Error('NotFoundError'));
    const file = this.files.get(name) ?? new FakeFile(this);
    this.files.set(name, file);
    return Promise.resolve(file);
  }
  removeEntry(name: string): Promise<void> {
    this.files.delete(name);
    return Promise.resolve();
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<[string, FakeFile]> {
    yield* await Promise.resolve([...this.files]);
  }
}

/** Bytes as weights are: every line is another. */
function weights(bytes: number, seed = 1): Uint8Array {
  const words = new Uint32Array(bytes / 4);
  let state = seed;
  for (let i = 0; i < words.length; i++) words[i] = state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return new Uint8Array(words.buffer);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe('Cache', () => {
  const compiled: CompileResult = { manifest: '{"m":1}', module: Uint8Array.from({ length: 77 }, (_, i) => i), wisdom: 'w', memory64: false, phases: [], storedDropped: false, notes: ['n'] };
  const image = weights(4096);
  const settings: CompileSettings = { threads: 1, shared: false, relaxedSimd: true, memory64: true, device: 'd', dims: {}, precision: 'balanced', budgetMs: 0 };
  const key: Key = { pool: 'p', entry: 'k' };
  let digest: Digest, disk: FakeFolder, cache: Cache, quota: number | undefined, folders: string[];
  beforeEach(async () => {
    disk = new FakeFolder();
    quota = undefined;
    folders = ['wasmkiln-cache-3', 'wasmkiln-cache-5', 'wasmkiln-other'];
    const root = {
      getDirectoryHandle: () => Promise.resolve(disk),
      removeEntry: (name: string) => Promise.resolve(void (folders = folders.filter((each) => each !== name))),
      [Symbol.asyncIterator]: async function* () {
        yield* await Promise.resolve(folders.map((name) => [name]));
      },
    };
    vi.stubGlobal('FileSystemFileHandle', FakeFile);
    vi.stubGlobal('navigator', { storage: { getDirectory: () => Promise.resolve(root), estimate: () => Promise.resolve({ quota }) } });
    digest = await Digest.create();
    cache = (await Cache.open(Promise.resolve(digest), 1000)) as Cache;
  });
  afterEach(() => void vi.unstubAllGlobals());
  const restores = async (at: Key, expected: Uint8Array): Promise<boolean> => {
    const entry = await cache.find(at);
    const restored = new Uint8Array(expected.length);
    const done = (await entry?.restore(restored, null)) === true && same(restored, expected);
    entry?.close();
    return done;
  };
  const fileOf = (name: string): FakeFile => disk.files.get(name) as FakeFile;

  it('gives back what it kept', async () => {
    await cache.keep(key, compiled, image);
    const entry = await cache.find(key);
    expect(entry?.compiled).toEqual(compiled);
    expect(await entry?.restore(new Uint8Array(image.length + 1), null)).toBe(false);
    entry?.close();
    expect(await restores(key, image)).toBe(true);
    expect(folders).toEqual(['wasmkiln-cache-5', 'wasmkiln-other']);
  });

  it('keeps weights of the same packing once, wherever they lie', async () => {
    const large = weights(6 << 20);
    const at = (entry: string): Key => ({ pool: 'p', entry });
    await cache.keep(at('a'), compiled, large);
    const once = disk.written;
    await cache.keep(at('b'), compiled, large);
    expect(disk.written - once).toBeLessThan(10_000);
    // Another size gives one weight another packing, and what is behind it another place.
    const other = new Uint8Array(large.length + 1920);
    other.set(large.subarray(0, 1 << 20));
    other.set(weights(300_000 + 1920, 2), 1 << 20);
    other.set(large.subarray((1 << 20) + 300_000), (1 << 20) + 300_000 + 1920);
    const shifted = other.subarray(0, large.length + 1920);
    const twice = disk.written;
    await cache.keep(at('c'), compiled, shifted);
    expect(disk.written - twice).toBeLessThan(3 << 20); // what changed, and the piece on each side of it
    expect(await restores(at('a'), large)).toBe(true);
    expect(await restores(at('b'), large)).toBe(true);
    expect(await restores(at('c'), shifted)).toBe(true);
    expect(disk.used).toBeLessThan(10 << 20);
  });

  it('cuts by what is there', () => {
    for (const bytes of [0, 1, 63, 64, 65_536, 65_540, 3 << 20, (1 << 20) + 4]) {
      const pieces = [...cut(weights(Math.ceil(bytes / 4) * 4).subarray(0, bytes))];
      expect(pieces.reduce((sum, piece) => sum + piece.length, 0)).toBe(bytes);
      expect(pieces.every((piece) => piece.length > 0 && piece.length <= kBlockBytes)).toBe(true);
    }
    expect([...cut(weights(8 << 20))].length).toBeGreaterThan(16);
    expect([...cut(new Uint8Array(3 << 20))].map((piece) => piece.length)).toEqual([1 << 20, 1 << 20, 1 << 20]); // zeros do not begin one each
  });

  it.each([0, 7, 100, 200])('notices a flipped bit at byte %d of an entry', async (at) => {
    await cache.keep(key, compiled, image);
    const { bytes } = fileOf('p.k');
    bytes[at] = (bytes[at] as number) ^ 128;
    expect(await cache.find(key)).toBe(null);
    expect([...disk.files.keys()]).toEqual(['p']);
    await cache.keep(key, compiled, image);
    expect(await restores(key, image)).toBe(true);
  });

  it.each([0, 63, 64, 250, -1])('notices an entry cut to %d bytes', async (size) => {
    await cache.keep(key, compiled, image);
    fileOf('p.k').bytes = fileOf('p.k').bytes.slice(0, size);
    expect(await cache.find(key)).toBe(null);
  });

  it('notices weights that are not what they were, and trusts none of them any more', async () => {
    for (const damage of [(bytes: Uint8Array<ArrayBuffer>) => bytes.slice(0, -1), (bytes: Uint8Array<ArrayBuffer>) => bytes.map((byte, i) => (i === 4000 ? byte ^ 1 : byte)), () => new Uint8Array(0)]) {
      await cache.keep({ pool: 'p', entry: 'other' }, compiled, image);
      await cache.keep(key, compiled, image);
      fileOf('p').bytes = damage(fileOf('p').bytes);
      const entry = (await cache.find(key)) as Entry;
      expect(await entry.restore(new Uint8Array(image.length), null)).toBe(false);
      await cache.drop(key, entry);
      expect(disk.files.size).toBe(0);
    }
  });

  it('restores with a helper, who finds damage too', async () => {
    const large = weights(3 * kBlockBytes + 100);
    await cache.keep(key, compiled, large);
    const file = fileOf('p');
    const digest = await Digest.create();
    const handle = (await file.createSyncAccessHandle()) as AccessHandle;
    file.open = false; // as where a file may be read by many
    const helper: Helpers = async (request) => {
      restoreBlocks(handle, request, digest);
      await Promise.resolve();
    };
    const lost: Helpers = ({ progress }) => Promise.resolve(Atomics.store(progress, 0, 3)); // took three pieces and ended
    const restored = new Uint8Array(new SharedArrayBuffer(large.length));
    const entry = (await cache.find(key)) as Entry;
    for (const helpers of [helper, () => Promise.resolve()]) {
      restored.fill(0);
      expect(await entry.restore(restored, helpers)).toBe(true);
      expect(same(restored, large)).toBe(true);
    }
    expect(await entry.restore(restored, lost)).toBe(false);
    file.bytes[file.bytes.length - 1] = (file.bytes[file.bytes.length - 1] as number) ^ 1;
    expect(await entry.restore(restored, helper)).toBe(false);
    expect(await entry.restore(restored, null)).toBe(false);
  });

  it('leaves nothing behind when there is no room, and finds nothing that is locked', async () => {
    disk.room = 4000;
    await expect(cache.keep(key, compiled, image)).rejects.toThrow('Quota');
    expect(disk.files.size).toBe(0);
    disk.room = Infinity;
    await cache.keep(key, compiled, image);
    fileOf('p').open = true;
    expect(await cache.find(key)).toBe(null);
    await expect(cache.keep({ pool: 'p', entry: 'l' }, compiled, image)).rejects.toThrow('locked');
    expect(disk.files.size).toBe(2);
    fileOf('p').open = false;
    const before = fileOf('p').size;
    disk.room = disk.used + 100;
    await expect(cache.keep({ pool: 'p', entry: 'l' }, compiled, weights(4096, 3))).rejects.toThrow('Quota');
    expect(fileOf('p').size).toBe(before);
    expect(await restores(key, image)).toBe(true);
  });

  it('writes over what an interrupted visit left', async () => {
    await cache.keep(key, compiled, image);
    fileOf('p').bytes = new Uint8Array([...fileOf('p').bytes, ...weights(8192, 9)]);
    await cache.keep({ pool: 'p', entry: 'l' }, compiled, weights(4096, 3));
    expect(fileOf('p').size).toBe(8192);
    expect(await restores({ pool: 'p', entry: 'l' }, weights(4096, 3))).toBe(true);
  });

  it('holds as many bytes as the origin has room for, and lets go of what was not used for longest', async () => {
    quota = 4 * 50_000; // a quarter of it
    const at = (pool: string): Key => ({ pool, entry: 'k' });
    for (const [i, pool] of ['a', 'b', 'c'].entries()) await cache.keep(at(pool), compiled, weights(16_384, i));
    expect(new Set([...disk.files.keys()].map((name) => name[0]))).toEqual(new Set(['b', 'c']));
    disk.clock = Date.now() - kHour / 2;
    await cache.touch(at('b')); // read in this visit
    expect(fileOf('b.k').lastModified).toBeGreaterThan(fileOf('c.k').lastModified);
    await cache.keep(at('d'), compiled, weights(16_384, 4));
    expect(new Set([...disk.files.keys()].map((name) => name[0]))).toEqual(new Set(['b', 'd']));
    await expect(cache.keep(at('e'), compiled, weights(60_000))).rejects.toThrow('room for');
    for (let i = 5; i < 12; i++) await cache.keep({ pool: 'd', entry: `k${i}` }, compiled, weights(16_384, i)); // one model alone
    expect(disk.used).toBeLessThan(60_000);
    expect(await restores({ pool: 'd', entry: 'k11' }, weights(16_384, 11))).toBe(true);
  });

  it('keeps twelve small models', async () => {
    for (let i = 0; i < 12; i++) await cache.keep({ pool: `m${i}`, entry: 'k' }, compiled, weights(4096, i));
    for (let i = 0; i < 12; i++) expect(await restores({ pool: `m${i}`, entry: 'k' }, weights(4096, i))).toBe(true);
  });

  it('gives back the right weights or none, whatever became of its files', async () => {
    const random = randoms(7);
    const images = [weights(40_000, 1), weights(40_000, 2)];
    let right = 0;
    for (let i = 0; i < 400; i++) {
      disk.files.clear();
      for (const [k, image] of images.entries()) await cache.keep({ pool: 'p', entry: `k${k}` }, { ...compiled, wisdom: `${k}` }, image);
      const names = [...disk.files.keys()];
      const file = fileOf(names[random(names.length)] as string);
      const at = random(file.size);
      const edits = [
        () => (file.bytes[at] = (file.bytes[at] as number) ^ (1 << random(8))),
        () => (file.bytes = file.bytes.slice(0, at)),
        () => (file.bytes = new Uint8Array([...file.bytes, ...file.bytes.subarray(at)])),
        () => file.bytes.fill(0, at, at + 1 + random(1000)),
        () => file.bytes.copyWithin(random(file.size), at, at + 64),
        () => (file.bytes = fileOf(names[random(names.length)] as string).bytes.slice()), // another's
        () => disk.files.delete(names[random(names.length)] as string),
      ];
      edits[random(edits.length)]?.();
      for (const [k, image] of images.entries()) {
        const entry = await cache.find({ pool: 'p', entry: `k${k}` });
        if (!entry) continue;
        const restored = new Uint8Array(image.length);
        if (await entry.restore(restored, null)) {
          right++;
          expect(same(restored, image)).toBe(true);
          expect(entry.compiled.wisdom).toBe(`${k}`);
        }
        entry.close();
      }
    }
    expect(right).toBeGreaterThan(200);
  });

  it('takes no piece for another that was made to have its hash', async () => {
    const same = vi.spyOn(digest, 'chain').mockReturnValue(7n);
    await cache.keep(key, compiled, weights(4096, 1));
    await cache.keep({ ...key, entry: 'other' }, compiled, weights(4096, 2));
    await cache.keep({ ...key, entry: 'again' }, compiled, weights(4096, 1));
    same.mockRestore();
    expect(Buffer.from(fileOf(key.pool).bytes).equals(Buffer.concat([weights(4096, 1), weights(4096, 2), weights(4096, 1)]))).toBe(true);
  });

  it('has another key for every other build, graph, setting and wisdom', async () => {
    const none = { explicit: [], stored: null };
    const head = new Uint8Array([1, 2, 3]);
    const keys = await Promise.all([
      Cache.key('a', 'here', head, settings, none),
      Cache.key('b', 'here', head, settings, none),
      Cache.key('a', 'there', head, settings, none),
      Cache.key('a', 'here', new Uint8Array([1, 2, 4]), settings, none),
      Cache.key('a', 'here', head, { ...settings, threads: 2 }, none),
      Cache.key('a', 'here', head, { ...settings, precision: 'exact' }, none),
      Cache.key('a', 'here', head, { ...settings, dims: { n: 1 } }, none),
      Cache.key('a', 'here', head, { ...settings, budgetMs: 5 }, none),
      Cache.key('a', 'here', head, { ...settings, precision: 'fast' }, none),
      Cache.key('a', 'here', head, settings, { explicit: ['{}'], stored: null }),
      Cache.key('a', 'here', head, settings, { explicit: [], stored: '{}' }),
    ]);
    expect(new Set(keys.map(({ pool, entry }) => pool + entry)).size).toBe(keys.length);
    expect(new Set(keys.map(({ pool }) => pool)).size).toBe(4); // weights are shared by all settings
    expect(await Cache.key('a', 'here', head, { ...settings, budgetMs: 9 }, none)).toEqual(keys[7]);
  });

  it('is none where there is no such file system', async () => {
    vi.stubGlobal('navigator', {});
    expect(await Cache.open(Digest.create(), 1000)).toBe(null);
  });

  it('waits no longer than it may for a file system that does not answer', async () => {
    const silent = (): Promise<never> => new Promise(() => undefined);
    await cache.keep(key, compiled, image);
    const hasty = (await Cache.open(Promise.resolve(digest), 20)) as Cache;
    let late: (handle: AccessHandle) => void = () => undefined;
    const opening = fileOf('p').createSyncAccessHandle.bind(fileOf('p'));
    fileOf('p').createSyncAccessHandle = () => new Promise((resolve) => (late = resolve));
    expect(await hasty.find(key)).toBe(null);
    late((await opening()) as AccessHandle);
    await turn();
    await turn();
    expect(fileOf('p').open).toBe(false); // what came too late does not stay open
    fileOf('p').createSyncAccessHandle = opening;
    const entry = (await hasty.find(key)) as Entry;
    const files = disk[Symbol.asyncIterator].bind(disk);
    disk[Symbol.asyncIterator] = async function* () {
      await silent();
      yield* files();
    };
    expect(await hasty.drop(key, entry)).toBe(null);
    vi.stubGlobal('navigator', { storage: { getDirectory: silent } });
    expect(await Cache.open(Promise.resolve(digest), 20)).toBe(null);
  });
});

describe('Pace', () => {
  it('gives others their turn, and takes a share of what they take', async () => {
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    const pace = new Pace();
    const order: string[] = [];
    const other = (async () => {
      for (let i = 0; i < 3; i++) {
        await turn();
        now += 100;
        order.push('run');
      }
    })();
    while (order.filter((each) => each === 'run').length < 3) {
      await pace.next();
      order.push('slice');
      now += 5;
    }
    await other;
    clock.mockRestore();
    const [first, second] = [order.indexOf('run'), order.indexOf('run', order.indexOf('run') + 1)];
    expect(order.slice(first + 1, second)).toEqual(['slice', 'slice', 'slice', 'slice', 'slice']); // 25 of 100 ms
  });
});
