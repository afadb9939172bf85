// A whole file in memory, in blocks that are given back one by one.
import { KilnError } from '../shared/errors.js';
import type { Prefetcher } from './prefetch.js';
import { free } from './reader.js';

const kBlockBits = 20;
const kBlock = 2 ** kBlockBits;

export class FileBytes {
  private window_: Uint8Array = new Uint8Array(0);
  private windowAt_ = 0;
  private readonly uses_: Int32Array;

  private constructor(
    readonly name: string,
    readonly size: number,
    private readonly blocks_: (Uint8Array<ArrayBuffer> | null)[],
  ) {
    this.uses_ = new Int32Array(blocks_.length);
  }

  /** Everything that a stream still brings. A file of more than `limit` bytes is refused. */
  static async read(stream: Prefetcher, limit: number): Promise<FileBytes> {
    const { name, size: stated } = stream.source;
    const blocks: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    const check = (bytes: number): void => {
      if (bytes > limit) throw new KilnError('bad-file', `${name} has more than ${limit} bytes: weights of such a model lie in a file beside it`, { where: name });
    };
    check(stated ?? 0);
    for (let chunk; (chunk = await stream.next()); stream.source.release?.(chunk.buffer)) {
      check(size + chunk.length);
      for (let at = 0; at < chunk.length; ) {
        const into = size % kBlock;
        if (into === 0) blocks.push(new Uint8Array(Math.min(kBlock, Math.max((stated ?? Infinity) - size, 1 << 12))));
        let block = blocks.at(-1) as Uint8Array<ArrayBuffer>;
        const part = chunk.subarray(at, at + kBlock - into);
        if (into + part.length > block.length) {
          const wider = new Uint8Array(kBlock); // more comes than was stated
          wider.set(block);
          blocks[blocks.length - 1] = block = wider;
        }
        block.set(part, into);
        size += part.length;
        at += part.length;
      }
    }
    return new FileBytes(name, size, blocks);
  }

  static of(name: string, bytes: Uint8Array): FileBytes {
    const blocks = Array.from({ length: Math.ceil(bytes.length / kBlock) }, (_, i) => bytes.slice(i * kBlock, (i + 1) * kBlock));
    return new FileBytes(name, bytes.length, blocks);
  }

  byte(at: number): number {
    const local = at - this.windowAt_;
    if (local >= 0 && local < this.window_.length) return this.window_[local] as number;
    const block = Math.floor(at / kBlock);
    this.window_ = this.block(block);
    this.windowAt_ = block * kBlock;
    return this.window_[at - this.windowAt_] as number;
  }

  /** Copies the bytes from `from` on. */
  copy(from: number, to: Uint8Array): void {
    for (let done = 0; done < to.length; ) {
      const at = from + done;
      const into = at % kBlock;
      const part = this.block(Math.floor(at / kBlock)).subarray(into, Math.min(kBlock, into + to.length - done));
      to.set(part, done);
      done += part.length;
    }
  }

  /** All in one piece, beside the blocks. */
  whole(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.size);
    this.copy(0, all);
    return all;
  }

  /** Says which ranges will be copied, each in order, and nothing else: blocks that are not needed any more are freed. */
  keepOnly(ranges: Iterable<{ from: number; size: number }>): void {
    for (const { from, size } of ranges) this.each(from, size, (block) => {
      this.uses_[block] = (this.uses_[block] as number) + 1;
    });
    this.uses_.forEach((uses, block) => uses === 0 && this.drop(block));
  }

  /** A part of a range has been copied, after those before it; the `last` one ends it. */
  done(from: number, size: number, last: boolean): void {
    this.each(from, size, (block) => {
      if (!last && (block + 1) * kBlock > from + size) return;
      this.uses_[block] = (this.uses_[block] as number) - 1;
      if (this.uses_[block] === 0) this.drop(block);
    });
  }

  private each(from: number, size: number, call: (block: number) => void): void {
    for (let block = Math.floor(from / kBlock); block * kBlock < from + size; block++) call(block);
  }

  private block(block: number): Uint8Array<ArrayBuffer> {
    const found = this.blocks_[block];
    if (!found) throw new KilnError('internal', `block ${block} of ${this.name} is not there any more`);
    return found;
  }

  private drop(block: number): void {
    const dropped = this.blocks_[block];
    this.blocks_[block] = null;
    this.window_ = new Uint8Array(0);
    if (dropped) free(dropped.buffer);
  }
}
