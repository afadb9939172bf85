// The cache over a file system in memory: what it keeps, what it notices, and what it does when there is no room.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Cache, type Entry, type Helpers } from '../src/host/cache.js';
import { Digest } from '../src/host/digest.js';
import { restoreBlocks, type AccessHandle } from '../src/host/restore.js';
import { kBlockBytes } from '../src/shared/manifest.js';
import type { CompileResult, CompileSettings } from '../src/shared/messages.js';

const kRoom = 1 << 20;

class FakeFile {
  bytes = new Uint8Array(0);
  lastModified = 0;
  open = false;
  constructor(private readonly disk_: FakeFolder) {}
  getFile = (): Promise<this> => Promise.resolve(this);
  createSyncAccessHandle(): Promise<object> {
    if (this.open) return Promise.reject(new Error('locked'));
    this.open = true;
    const write = (from: Uint8Array, { at }: { at: number }): number => {
      if (at + from.length > this.disk_.room) throw new Error('QuotaExceededError');
      const grown = new Uint8Array(Math.max(this.bytes.length, at + from.length));
      grown.set(this.bytes);
      grown.set(from, at);
      this.bytes = grown;
      this.lastModified = this.disk_.clock++;
      return from.length;
    };
    const read = (into: Uint8Array, { at }: { at: number }): number => {
      const part = this.bytes.subarray(at, at + into.length);
      into.set(part);
      return part.length;
    };
    return Promise.resolve({ read, write, truncate: () => (this.bytes = new Uint8Array(0)), getSize: () => this.bytes.length, flush: () => undefined, close: () => (this.open = false) });
  }
}

class FakeFolder {
  files = new Map<string, FakeFile>();
  room = kRoom;
  clock = 1;
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

describe('Cache', () => {
  const compiled: CompileResult = { manifest: '{"m":1}', module: Uint8Array.from({ length: 77 }, (_, i) => i), wisdom: 'w', memory64: false, phases: [], storedDropped: false, notes: ['n'] };
  const image = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) % 256);
  const settings: CompileSettings = { threads: 1, shared: false, relaxedSimd: true, memory64: true, device: 'd', dims: {}, precision: 'balanced', budgetMs: 0 };
  let disk: FakeFolder, cache: Cache;
  beforeEach(async () => {
    disk = new FakeFolder();
    vi.stubGlobal('FileSystemFileHandle', FakeFile);
    vi.stubGlobal('navigator', { storage: { getDirectory: () => Promise.resolve({ getDirectoryHandle: () => Promise.resolve(disk) }) } });
    cache = (await Cache.open(Digest.create())) as Cache;
  });
  afterEach(() => void vi.unstubAllGlobals());

  it('gives back what it kept', async () => {
    await cache.keep('k', compiled, image);
    const entry = await cache.find('k');
    expect(entry?.compiled).toEqual(compiled);
    const restored = new Uint8Array(image.length);
    expect(await entry?.restore(restored, null)).toBe(true);
    expect(restored).toEqual(image);
    entry?.close();
    expect(await cache.find('other')).toBe(null);
  });

  it.each([0, 8, 64, 70, 200, 1000, 4000])('notices a flipped bit at byte %d', async (at) => {
    await cache.keep('k', compiled, image);
    const { bytes } = disk.files.get('k') as FakeFile;
    bytes[at] = (bytes[at] as number) ^ 128;
    const entry = await cache.find('k');
    expect(entry === null || !(await entry.restore(new Uint8Array(image.length), null))).toBe(true);
    if (entry) await cache.drop('k', entry);
    expect(disk.files.size).toBe(0);
  });

  it('restores with a helper, who finds damage too', async () => {
    disk.room = 16 << 20;
    const large = Uint8Array.from({ length: 5 * kBlockBytes + 100 }, (_, i) => (i * 7 + i / 1000) % 256);
    await cache.keep('k', compiled, large);
    const file = disk.files.get('k') as FakeFile;
    const digest = await Digest.create();
    file.open = false; // as where a file may be read by many
    const handle = (await file.createSyncAccessHandle()) as AccessHandle;
    file.open = false;
    const helper: Helpers = async (request) => {
      restoreBlocks(handle, request, digest);
      await Promise.resolve();
    };
    const lost: Helpers = ({ progress }) => Promise.resolve(Atomics.store(progress, 0, 3)); // took three blocks and ended
    const restored = new Uint8Array(new SharedArrayBuffer(large.length));
    const entry = (await cache.find('k')) as Entry;
    for (const helpers of [helper, () => Promise.resolve()]) {
      restored.fill(0);
      expect(await entry.restore(restored, helpers)).toBe(true);
      expect(restored.every((byte, i) => byte === large[i])).toBe(true);
    }
    expect(await entry.restore(restored, lost)).toBe(false);
    const last = file.bytes.length - 1;
    file.bytes[last] = (file.bytes[last] as number) ^ 1;
    expect(await entry.restore(restored, helper)).toBe(false);
    expect(await entry.restore(restored, null)).toBe(false);
  });

  it.each([0, 63, 64, 500, -1])('notices a file cut to %d bytes', async (size) => {
    await cache.keep('k', compiled, image);
    const file = disk.files.get('k') as FakeFile;
    file.bytes = file.bytes.slice(0, size);
    expect(await cache.find('k')).toBe(null);
  });

  it('leaves nothing behind when there is no room, and finds nothing that is locked', async () => {
    disk.room = 2000;
    await expect(cache.keep('k', compiled, image)).rejects.toThrow('Quota');
    expect(disk.files.size).toBe(0);
    disk.room = kRoom;
    await cache.keep('k', compiled, image);
    (disk.files.get('k') as FakeFile).open = true;
    expect(await cache.find('k')).toBe(null);
    expect(disk.files.size).toBe(1);
  });

  it('keeps the eight newest', async () => {
    for (let i = 0; i < 10; i++) await cache.keep(`k${i}`, compiled, image);
    expect([...disk.files.keys()].sort()).toEqual(['k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9']);
  });

  it('has another key for every other build, graph, setting and wisdom', async () => {
    const none = { explicit: [], stored: null };
    const head = new Uint8Array([1, 2, 3]);
    const keys = await Promise.all([
      Cache.key('a', head, settings, none),
      Cache.key('b', head, settings, none),
      Cache.key('a', new Uint8Array([1, 2, 4]), settings, none),
      Cache.key('a', head, { ...settings, threads: 2 }, none),
      Cache.key('a', head, { ...settings, precision: 'exact' }, none),
      Cache.key('a', head, { ...settings, dims: { n: 1 } }, none),
      Cache.key('a', head, { ...settings, budgetMs: 5 }, none),
      Cache.key('a', head, { ...settings, precision: 'fast' }, none),
      Cache.key('a', head, settings, { explicit: ['{}'], stored: null }),
      Cache.key('a', head, settings, { explicit: [], stored: '{}' }),
    ]);
    expect(new Set(keys).size).toBe(keys.length);
    expect(await Cache.key('a', head, { ...settings, budgetMs: 9 }, none)).toBe(keys[6]);
  });

  it('is none where there is no such file system', async () => {
    vi.stubGlobal('navigator', {});
    expect(await Cache.open(Digest.create())).toBe(null);
  });
});
