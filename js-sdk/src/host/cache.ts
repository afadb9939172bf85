// What a second visit starts from: the emitted module, its manifest and the packed weights, one file per model and settings in
// the origin's private file system. The name is a hash of all that decides what is in it, so a stale file is never found; a
// damaged one is noticed and removed. Whatever goes wrong here costs time, never correctness.
import { kBlockBytes } from '../shared/manifest.js';
import type { CompileResult, CompileSettings, RestoreRequest, WisdomTexts } from '../shared/messages.js';
import type { Digest } from './digest.js';
import { blockHashes, newProgress, restoreBlocks, restored, type AccessHandle, type FileHandle } from './restore.js';

const kFolder = 'wasmkiln-cache-3';
const kMostEntries = 8;
const kMagic = 0x6b696c6en;
const kHeaderBytes = 64;
const kSlice = 4 * kBlockBytes;
const kPauseMs = 5;

type Kept = Pick<CompileResult, 'manifest' | 'wisdom' | 'memory64' | 'notes'>;

const padded = (bytes: number): number => Math.ceil(bytes / 64) * 64;
const blocksOf = (bytes: number): number => Math.ceil(bytes / kBlockBytes);

function* slices(bytes: Uint8Array): Generator<[number, Uint8Array]> {
  for (let at = 0; at < bytes.length; at += kSlice) yield [at, bytes.subarray(at, at + kSlice)];
}

/** Has one thing done by whoever has time; resolves when all who began have ended. */
export type Helpers = (request: RestoreRequest) => Promise<unknown>;

/** A found file: what was compiled is in memory, the weights are read by restore(). */
export class Entry {
  constructor(
    readonly compiled: CompileResult,
    readonly imageBytes: number,
    private readonly name_: FileSystemFileHandle,
    private readonly file_: AccessHandle,
    private readonly image_at_: number,
    private readonly hashes_: BigUint64Array<ArrayBuffer>,
    private readonly digest_: Digest,
  ) {}

  /** Reads the packed weights to their place, with others if that is shared memory; false: they are damaged. */
  async restore(image: Uint8Array, helpers: Helpers | null): Promise<boolean> {
    if (image.length !== this.imageBytes) return false;
    const request = { file: this.name_, at: this.image_at_, image, hashes: this.hashes_, progress: newProgress(helpers !== null) };
    const helping = helpers?.(request);
    restoreBlocks(this.file_, request, this.digest_);
    if (!restored(request)) await helping; // who comes when all is done need not be waited for
    return restored(request);
  }

  close(): void {
    this.file_.close();
  }
}

export class Cache {
  private constructor(
    private readonly folder_: FileSystemDirectoryHandle,
    private readonly digest_: Digest,
  ) {}

  /** Not in Node, insecure contexts and pages without workers. */
  static get possible(): boolean {
    return 'createSyncAccessHandle' in (globalThis.FileSystemFileHandle?.prototype ?? {});
  }

  /** Null where there is none after all: in private windows. */
  static async open(digest: Promise<Digest>): Promise<Cache | null> {
    if (!Cache.possible) return null;
    try {
      const root = await globalThis.navigator.storage.getDirectory();
      return new Cache(await root.getDirectoryHandle(kFolder, { create: true }), await digest);
    } catch {
      return null;
    }
  }

  /** Everything that decides what is emitted: this build, the graph with the hashes of its weights, settings, wisdom. */
  static async key(build: string, head: Uint8Array, settings: CompileSettings, wisdom: WisdomTexts): Promise<string> {
    const { budgetMs, ...rest } = settings;
    const text = new TextEncoder().encode(JSON.stringify([build, { ...rest, tuned: budgetMs > 0 }, wisdom]) + '\0');
    const all = new Uint8Array(text.length + head.length);
    all.set(text);
    all.set(head, text.length);
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', all));
    return Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  async find(key: string): Promise<Entry | null> {
    let file: AccessHandle | null = null;
    try {
      const name = await this.folder_.getFileHandle(key);
      file = await (name as unknown as FileHandle).createSyncAccessHandle({ mode: 'read-only' });
      return readEntry(name, file, this.digest_) ?? (await this.drop(key, file));
    } catch {
      file?.close(); // not there, or another tab has it open
      return null;
    }
  }

  async drop(key: string, file: AccessHandle | Entry): Promise<null> {
    file.close();
    await this.folder_.removeEntry(key).catch(() => undefined);
    return null;
  }

  /** Writes a file in slices between which runs get their turn; its header, which makes it valid, comes last. */
  async keep(key: string, compiled: CompileResult, image: Uint8Array): Promise<void> {
    await this.evict(key);
    const handle = (await this.folder_.getFileHandle(key, { create: true })) as unknown as FileHandle;
    const file = await handle.createSyncAccessHandle();
    try {
      const { manifest, wisdom, memory64, notes } = compiled;
      const meta = new TextEncoder().encode(JSON.stringify({ manifest, wisdom, memory64, notes } satisfies Kept));
      const sizes = [meta.length, compiled.module.length, image.length];
      const { moduleAt, hashesAt, bytes } = frontOf(sizes);
      const front = new Uint8Array(bytes);
      front.set(meta);
      front.set(compiled.module, moduleAt);
      const hashes = new BigUint64Array(front.buffer, hashesAt, blocksOf(image.length));
      file.truncate(0);
      for (const [at, slice] of slices(image)) {
        await new Promise((resolve) => setTimeout(resolve, kPauseMs));
        write(file, slice, kHeaderBytes + front.length + at);
        hashes.set(blockHashes(slice, this.digest_), at / kBlockBytes);
      }
      write(file, front, kHeaderBytes);
      file.flush();
      write(file, headerOf([kMagic, ...sizes.map(BigInt), this.digest_.chain(front)], this.digest_), 0);
      file.flush();
      file.close();
    } catch (thrown) {
      await this.drop(key, file);
      throw thrown;
    }
  }

  /** Makes room: the oldest files go. */
  private async evict(key: string): Promise<void> {
    const files: { name: string; time: number }[] = [];
    const folder = this.folder_ as unknown as AsyncIterable<[string, FileHandle]>;
    for await (const [name, handle] of folder) if (name !== key) files.push({ name, time: (await handle.getFile()).lastModified });
    files.sort((a, b) => b.time - a.time);
    for (const { name } of files.slice(kMostEntries - 1)) await this.folder_.removeEntry(name).catch(() => undefined);
  }
}

function write(file: AccessHandle, bytes: Uint8Array, at: number): void {
  if (file.write(bytes, { at }) !== bytes.length) throw new Error('the disk is full');
}

/** The words, and a hash over them. */
function headerOf(words: bigint[], digest: Digest): Uint8Array {
  const header = new BigUint64Array(kHeaderBytes / 8);
  header.set(words);
  header[words.length] = digest.chain(new Uint8Array(header.buffer, 0, words.length * 8));
  return new Uint8Array(header.buffer);
}

/** Meta data, module and the hashes of the image's blocks: where they lie behind the header. */
function frontOf([metaBytes, moduleBytes, imageBytes]: number[]): { moduleAt: number; hashesAt: number; bytes: number } {
  const moduleAt = padded(metaBytes as number);
  const hashesAt = moduleAt + padded(moduleBytes as number);
  return { moduleAt, hashesAt, bytes: hashesAt + padded(8 * blocksOf(imageBytes as number)) };
}

function readEntry(name: FileSystemFileHandle, file: AccessHandle, digest: Digest): Entry | null {
  const header = new BigUint64Array(kHeaderBytes / 8);
  if (file.read(new Uint8Array(header.buffer), { at: 0 }) !== kHeaderBytes) return null;
  const words = [...header.subarray(0, 5)];
  const expected = new BigUint64Array(headerOf(words, digest).buffer);
  if (header.some((word, i) => word !== expected[i])) return null;
  const sizes = words.slice(1, 4).map(Number) as [number, number, number];
  const [metaBytes, moduleBytes, imageBytes] = sizes;
  const { moduleAt, hashesAt, bytes } = frontOf(sizes);
  if (words[0] !== kMagic || kHeaderBytes + bytes + imageBytes !== file.getSize()) return null;
  const front = new Uint8Array(bytes);
  file.read(front, { at: kHeaderBytes });
  if (digest.chain(front) !== words[4]) return null;
  const kept = JSON.parse(new TextDecoder().decode(front.subarray(0, metaBytes))) as Kept;
  const module = front.slice(moduleAt, moduleAt + moduleBytes);
  const hashes = new BigUint64Array(front.buffer.slice(hashesAt, hashesAt + 8 * blocksOf(imageBytes)));
  const compiled = { ...kept, module, phases: [], storedDropped: false };
  return new Entry(compiled, imageBytes, name, file, kHeaderBytes + bytes, hashes, digest);
}
