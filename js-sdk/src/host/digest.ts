// XXH64 by a WebAssembly module of its own (runtime/digest.cpp), which is there before the model's is. It notices damage, not malice.
import { kBlockBytes } from '../shared/manifest.js';
import { patiently } from '../shared/memory.js';

declare const __KILN_DIGEST__: string; // the module in base64

interface Exports {
  memory: WebAssembly.Memory;
  kiln_block(): number;
  kiln_digest(size: number, seed: bigint): bigint;
}

export class Digest {
  private readonly block_: Uint8Array;
  private filled_ = 0;

  private constructor(private readonly exports_: Exports) {
    this.block_ = new Uint8Array(exports_.memory.buffer, exports_.kiln_block(), kBlockBytes);
  }

  static async create(): Promise<Digest> {
    const module = Uint8Array.from(atob(__KILN_DIGEST__), (c) => c.charCodeAt(0));
    const { instance } = await patiently(() => WebAssembly.instantiate(module)); // address space may be short
    return new Digest(instance.exports as unknown as Exports);
  }

  /** Adds bytes to the block; how many there was room for. */
  add(bytes: Uint8Array): number {
    const part = bytes.subarray(0, kBlockBytes - this.filled_);
    this.block_.set(part, this.filled_);
    this.filled_ += part.length;
    return part.length;
  }

  /** Makes the block hold `size` bytes, which `write` is to put there. */
  fill(size: number, write: (block: Uint8Array) => void): Uint8Array {
    const block = this.block_.subarray(0, size);
    write(block);
    this.filled_ = size;
    return block;
  }

  get full(): boolean {
    return this.filled_ === kBlockBytes;
  }

  /** The hash of what the block holds, which is empty afterwards. */
  take(seed = 0n): bigint {
    const hash = this.exports_.kiln_digest(this.filled_, seed);
    this.filled_ = 0;
    return BigInt.asUintN(64, hash);
  }

  /** One hash of any number of bytes: that of each block is the seed of the next. */
  chain(bytes: Uint8Array, seed = 0n): bigint {
    let hash = seed;
    for (let at = 0; at < bytes.length; ) {
      at += this.add(bytes.subarray(at));
      hash = this.take(hash);
    }
    return hash;
  }
}
