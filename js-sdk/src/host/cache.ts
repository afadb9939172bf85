// What a second visit starts from, in the origin's private file system. Of each model file there is a pool, which holds pieces of
// packed weights, each once; an entry for each set of settings and sizes has the emitted module, its manifest, and which pieces its
// weights are made of. Names are hashes of all that decides what is in a file, so a stale one is never found; a damaged one is
// noticed and removed. Whatever goes wrong here costs time, never correctness.
import { KilnError } from '../shared/errors.js';
import { within } from '../shared/fetching.js';
import { hex } from '../shared/hex.js';
import type { CompileResult, CompileSettings, RestoreRequest, WisdomTexts } from '../shared/messages.js';
import { cut } from './cuts.js';
import type { Digest } from './digest.js';
import { Pace } from './pace.js';
import { kPieceWords, newProgress, restoreBlocks, restored, type AccessHandle, type FileHandle } from './restore.js';

const kFolder = 'wasmkiln-cache-5';
const kFolders = 'wasmkiln-cache-';
/** All models together take at most so many bytes, and at most this fraction of what the origin may store. */
const kMostBytes = 2 ** 30;
const kMostOfQuota = 1 / 4;
/** A use within this time need not be noted. */
const kRecentMs = 3_600_000;
const kWaitsMs = [50, 100, 200, 400, 800];
const kMagic = 0x6b696c6fn;
const kHeaderBytes = 64;

type Kept = Pick<CompileResult, 'manifest' | 'wisdom' | 'memory64' | 'notes'> & { name: string };
/** What an entry is called: `pool` is the model file, `entry` what it became. */
export interface Key {
  pool: string;
  entry: string;
}

const padded = (bytes: number): number => Math.ceil(bytes / 64) * 64;
const unanswered = (): KilnError => new KilnError('stalled', 'the private file system does not answer');
const entryOf = ({ pool, entry }: Key): string => `${pool}.${entry}`;
const poolOf = (name: string): string => name.split('.', 1)[0] as string;

/** Asks all idle helpers to do one thing. Resolves when all that began have ended. */
export type Helpers = (request: RestoreRequest) => Promise<unknown>;

/** An entry that was found. The compiled parts are in memory; restore() reads the weights. */
export class Entry {
  readonly imageBytes: number;

  constructor(
    readonly compiled: CompileResult,
    private readonly name_: FileSystemFileHandle,
    private readonly pool_: AccessHandle,
    private readonly pieces_: BigUint64Array<ArrayBuffer>,
    private readonly digest_: Digest,
  ) {
    this.imageBytes = bytesOf(pieces_);
  }

  /** Reads the packed weights to their place, with helpers if that is shared memory. false: they are damaged. */
  async restore(image: Uint8Array, helpers: Helpers | null): Promise<boolean> {
    if (image.length !== this.imageBytes) return false;
    const request = { file: this.name_, image, pieces: this.pieces_, progress: newProgress(helpers !== null) };
    const helping = helpers?.(request);
    restoreBlocks(this.pool_, request, this.digest_);
    if (!restored(request)) await helping; // who comes when all is done need not be waited for
    return restored(request);
  }

  close(): void {
    this.pool_.close();
  }
}

export class Cache {
  private constructor(
    private readonly root_: FileSystemDirectoryHandle,
    private readonly folder_: FileSystemDirectoryHandle,
    private readonly digest_: Digest,
    private readonly stallTimeoutMs_: number,
  ) {}

  /** Whether there can be a cache: not in Node, insecure contexts and pages without workers. */
  static get possible(): boolean {
    return 'createSyncAccessHandle' in (globalThis.FileSystemFileHandle?.prototype ?? {});
  }

  /** Null if there is none after all, as in private windows, or none that answers. */
  static async open(digest: Promise<Digest>, stallTimeoutMs: number): Promise<Cache | null> {
    if (!Cache.possible) return null;
    const opened = async (): Promise<Cache> => {
      const root = await globalThis.navigator.storage.getDirectory();
      return new Cache(root, await root.getDirectoryHandle(kFolder, { create: true }), await digest, stallTimeoutMs);
    };
    try {
      return await within(stallTimeoutMs, opened(), unanswered);
    } catch {
      return null;
    }
  }

  /** Everything that decides what is emitted: this build, why the weights are `trusted`, the graph with the hashes of its weights; settings, wisdom. */
  static async key(build: string, trusted: string, head: Uint8Array, settings: CompileSettings, wisdom: WisdomTexts): Promise<Key> {
    const { budgetMs, ...rest } = settings;
    const pool = await nameOf(JSON.stringify([build, trusted]), head);
    return { pool, entry: await nameOf(JSON.stringify([{ ...rest, tuned: budgetMs > 0 }, wisdom])) };
  }

  async find(key: Key): Promise<Entry | null> {
    const finding = this.look(key);
    try {
      return await within(this.stallTimeoutMs_, finding, unanswered);
    } catch {
      void finding.then((late) => late?.close());
      return null;
    }
  }

  private async look(key: Key): Promise<Entry | null> {
    let pool: AccessHandle | null = null;
    try {
      const [name, found] = await Promise.all([this.folder_.getFileHandle(key.pool), this.read(entryOf(key))]);
      if (!found) {
        await this.folder_.removeEntry(entryOf(key));
        return null;
      }
      pool = await (name as unknown as FileHandle).createSyncAccessHandle({ mode: 'read-only' });
      return new Entry(found.compiled, name, pool, found.pieces, this.digest_);
    } catch {
      pool?.close(); // not there, or another tab has it open
      return null;
    }
  }

  /** Its pieces are damaged, so nothing of that model can be trusted. */
  async drop(key: Key, entry: Entry): Promise<null> {
    entry.close();
    await within(this.stallTimeoutMs_, this.remove(key.pool), unanswered).catch(() => undefined);
    return null;
  }

  /** Notes a use, so that other models are removed before it. */
  async touch(key: Key): Promise<void> {
    try {
      const handle = (await this.folder_.getFileHandle(entryOf(key))) as unknown as FileHandle;
      if (Date.now() - (await handle.getFile()).lastModified < kRecentMs) return;
      const file = await handle.createSyncAccessHandle();
      const first = new Uint8Array(8);
      file.read(first, { at: 0 });
      file.write(first, { at: 0 });
      file.close();
    } catch {
      // then it is as old as it was
    }
  }

  /** Writes what is not there yet, piece by piece. Between pieces runs get their turn. The entry makes it valid, so it comes last. */
  async keep(key: Key, compiled: CompileResult, image: Uint8Array): Promise<void> {
    const room = await this.room();
    if (image.length > room) throw new Error(`the weights take ${megabytes(image.length)} MB, and there is room for ${megabytes(room)} MB`);
    const pool = await opened((await this.folder_.getFileHandle(key.pool, { create: true })) as unknown as FileHandle); // nobody else writes now
    let before = 0;
    try {
      let known = await this.piecesOf(key.pool);
      if (known.end + image.length > room) {
        await this.remove(key.pool, key.pool);
        known = { at: new Map(), end: 0 };
      }
      before = known.end;
      pool.truncate(before); // what lies behind belongs to nobody
      await this.writeEntry(entryOf(key), compiled, await this.writePieces(pool, known, image));
      pool.close();
    } catch (thrown) {
      pool.truncate(before);
      pool.close();
      if (before === 0) await this.remove(key.pool);
      throw thrown;
    }
    await this.evict(room, key.pool);
  }

  private async writePieces(pool: AccessHandle, { at, end }: Pieces, image: Uint8Array): Promise<BigUint64Array<ArrayBuffer>> {
    const pace = new Pace();
    const words: bigint[] = [];
    for (const piece of cut(image)) {
      await pace.next();
      const hash = this.digest_.chain(piece);
      const name = `${hash} ${piece.length}`;
      const known = at.get(name);
      if (known === undefined || !holds(pool, known, piece)) {
        write(pool, piece, end);
        at.set(name, end);
        end += piece.length;
      }
      words.push(BigInt(at.get(name) as number), BigInt(piece.length), hash);
    }
    pool.flush();
    return new BigUint64Array(words);
  }

  private async writeEntry(name: string, compiled: CompileResult, pieces: BigUint64Array<ArrayBuffer>): Promise<void> {
    const file = await ((await this.folder_.getFileHandle(name, { create: true })) as unknown as FileHandle).createSyncAccessHandle();
    try {
      const { manifest, wisdom, memory64, notes } = compiled;
      const meta = new TextEncoder().encode(JSON.stringify({ name, manifest, wisdom, memory64, notes } satisfies Kept));
      const sizes = [meta.length, compiled.module.length, pieces.byteLength];
      const { moduleAt, piecesAt, bytes } = frontOf(sizes);
      const front = new Uint8Array(bytes);
      front.set(meta);
      front.set(compiled.module, moduleAt);
      front.set(new Uint8Array(pieces.buffer), piecesAt);
      file.truncate(0);
      write(file, front, kHeaderBytes);
      file.flush();
      write(file, headerOf([kMagic, ...sizes.map(BigInt), this.digest_.chain(front)], this.digest_), 0);
      file.flush();
    } catch (thrown) {
      await this.folder_.removeEntry(name).catch(() => undefined);
      throw thrown;
    } finally {
      file.close();
    }
  }

  /** The pieces of all entries of a pool. */
  private async piecesOf(pool: string): Promise<Pieces> {
    const found: Pieces = { at: new Map(), end: 0 };
    for (const { name } of await this.files()) {
      const pieces = name !== pool && poolOf(name) === pool ? (await this.read(name).catch(() => null))?.pieces : null;
      for (let i = 0; pieces && i < pieces.length; i += kPieceWords) {
        const [at, bytes, hash] = pieces.subarray(i, i + kPieceWords) as unknown as [bigint, bigint, bigint];
        found.at.set(`${hash} ${bytes}`, Number(at));
        found.end = Math.max(found.end, Number(at + bytes));
      }
    }
    return found;
  }

  private async read(name: string): Promise<{ compiled: CompileResult; pieces: BigUint64Array<ArrayBuffer> } | null> {
    const handle = (await this.folder_.getFileHandle(name)) as unknown as FileHandle;
    return readEntry(name, new Uint8Array(await (await handle.getFile()).arrayBuffer()), this.digest_);
  }

  private async files(): Promise<{ name: string; bytes: number; used: number }[]> {
    const files: { name: string; bytes: number; used: number }[] = [];
    for await (const [name, handle] of this.folder_ as unknown as AsyncIterable<[string, FileHandle]>) {
      const { size: bytes, lastModified: used } = await handle.getFile();
      files.push({ name, bytes, used });
    }
    return files;
  }

  /** Removes a pool and all its entries, except the file `except`. */
  private async remove(pool: string, except = ''): Promise<void> {
    for (const { name } of await this.files()) if (poolOf(name) === pool && name !== except) await this.folder_.removeEntry(name).catch(() => undefined);
  }

  private async room(): Promise<number> {
    const { quota } = (await globalThis.navigator.storage.estimate?.().catch(() => null)) ?? {};
    return Math.min(kMostBytes, kMostOfQuota * (quota ?? Infinity));
  }

  /** Removes what was unused for longest until the rest has room, and everything that older versions have left. */
  private async evict(room: number, current: string): Promise<void> {
    const pools = new Map<string, { bytes: number; used: number }>();
    for (const { name, bytes, used } of await this.files()) {
      const pool = pools.get(poolOf(name)) ?? { bytes: 0, used: 0 };
      pools.set(poolOf(name), { bytes: pool.bytes + bytes, used: Math.max(pool.used, poolOf(name) === current ? Infinity : used) });
    }
    let left = room;
    for (const [name, { bytes }] of [...pools].sort(([, a], [, b]) => b.used - a.used)) {
      left -= bytes;
      if (left < 0 && name !== current) await this.remove(name);
    }
    for await (const [name] of this.root_ as unknown as AsyncIterable<[string]>) {
      if (name.startsWith(kFolders) && name !== kFolder) await this.root_.removeEntry(name, { recursive: true }).catch(() => undefined);
    }
  }
}

/** Where each piece lies in a pool, by hash and length, and where the valid part ends. */
interface Pieces {
  at: Map<string, number>;
  end: number;
}

const megabytes = (bytes: number): number => Math.ceil(bytes / 2 ** 20);

/** A hash of texts and bytes, for a file's name. */
async function nameOf(text: string, bytes: Uint8Array = new Uint8Array(0)): Promise<string> {
  const begin = new TextEncoder().encode(`${text}\0`);
  const all = new Uint8Array(begin.length + bytes.length);
  all.set(begin);
  all.set(bytes, begin.length);
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', all)));
}

function bytesOf(pieces: BigUint64Array): number {
  let bytes = 0;
  for (let i = 1; i < pieces.length; i += kPieceWords) bytes += Number(pieces[i]);
  return bytes;
}

/** Waits a little if others have the file open. */
async function opened(handle: FileHandle): Promise<AccessHandle> {
  for (const wait of kWaitsMs) {
    try {
      return await handle.createSyncAccessHandle();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  return handle.createSyncAccessHandle();
}

function write(file: AccessHandle, bytes: Uint8Array, at: number): void {
  if (file.write(bytes, { at }) !== bytes.length) throw new Error('the disk is full');
}

/** Whether these bytes lie there: what has their hash may be others, made to have it. */
function holds(file: AccessHandle, at: number, bytes: Uint8Array): boolean {
  const there = new Uint8Array(bytes.length);
  return file.read(there, { at }) === bytes.length && there.every((byte, i) => byte === bytes[i]);
}

/** The words, and a hash over them. */
function headerOf(words: bigint[], digest: Digest): Uint8Array {
  const header = new BigUint64Array(kHeaderBytes / 8);
  header.set(words);
  header[words.length] = digest.chain(new Uint8Array(header.buffer, 0, words.length * 8));
  return new Uint8Array(header.buffer);
}

/** Where metadata, module and pieces lie behind the header. */
function frontOf([metaBytes, moduleBytes, piecesBytes]: number[]): { moduleAt: number; piecesAt: number; bytes: number } {
  const moduleAt = padded(metaBytes as number);
  const piecesAt = moduleAt + padded(moduleBytes as number);
  return { moduleAt, piecesAt, bytes: piecesAt + padded(piecesBytes as number) };
}

function readEntry(called: string, file: Uint8Array<ArrayBuffer>, digest: Digest): { compiled: CompileResult; pieces: BigUint64Array<ArrayBuffer> } | null {
  if (file.length < kHeaderBytes) return null;
  const header = new BigUint64Array(file.buffer, 0, kHeaderBytes / 8);
  const words = [...header.subarray(0, 5)];
  const expected = new BigUint64Array(headerOf(words, digest).buffer as ArrayBuffer);
  if (header.some((word, i) => word !== expected[i])) return null;
  const sizes = words.slice(1, 4).map(Number) as [number, number, number];
  const [metaBytes, moduleBytes, piecesBytes] = sizes;
  const { moduleAt, piecesAt, bytes } = frontOf(sizes);
  const front = file.subarray(kHeaderBytes);
  if (words[0] !== kMagic || bytes !== front.length || digest.chain(front) !== words[4]) return null;
  const { name, ...kept } = JSON.parse(new TextDecoder().decode(front.subarray(0, metaBytes))) as Kept;
  if (name !== called) return null; // it is another's
  const compiled = { ...kept, module: front.slice(moduleAt, moduleAt + moduleBytes), phases: [], storedDropped: false };
  return { compiled, pieces: new BigUint64Array(front.slice(piecesAt, piecesAt + piecesBytes).buffer) };
}
