// XXH64 by a WebAssembly module of its own (runtime/digest.cpp), which is ready before the model's. It notices damage, not malice.
import { kBlockBytes } from '../shared/manifest.js';
import { patiently } from '../shared/memory.js';

declare const __KILN_DIGEST__: string; // the module in base64

interface Exports {
  memory: WebAssembly.Memory;
  kiln_room(): number;
  kiln_room_bytes(): number;
  kiln_begin(seed: bigint): void;
  kiln_add(size: number): void;
  kiln_end(): bigint;
}

/** Hashes one block after the other. */
export class Digest {
  private readonly room_: Uint8Array;
  private filled_ = 0;

  private constructor(private readonly exports_: Exports) {
    this.room_ = new Uint8Array(exports_.memory.buffer, exports_.kiln_room(), exports_.kiln_room_bytes());
    exports_.kiln_begin(0n);
  }

  static async create(): Promise<Digest> {
    const module = Uint8Array.from(atob(__KILN_DIGEST__), (c) => c.charCodeAt(0));
    const { instance } = await patiently(() => WebAssembly.instantiate(module)); // address space may be short
    return new Digest(instance.exports as unknown as Exports);
  }

  /** Adds bytes to the block. Returns how many there was room for. */
  add(bytes: Uint8Array): number {
    const part = bytes.subarray(0, kBlockBytes - this.filled_);
    this.fill(part.length, (room, at) => room.set(part.subarray(at, at + room.length)));
    return part.length;
  }

  /** Adds `size` bytes to the block. `write` puts them where they are hashed, a number at a time, from `at` on. */
  fill(size: number, write: (room: Uint8Array, at: number) => void): void {
    for (let at = 0; at < size; ) {
      const room = this.room_.subarray(0, Math.min(size - at, this.room_.length));
      write(room, at);
      this.exports_.kiln_add(room.length);
      at += room.length;
    }
    this.filled_ += size;
  }

  get full(): boolean {
    return this.filled_ === kBlockBytes;
  }

  /** Returns the hash of the block. The block is then empty. */
  take(): bigint {
    const hash = this.exports_.kiln_end();
    this.begin(0n);
    return BigInt.asUintN(64, hash);
  }

  /** One hash of any number of bytes. The hash of each block is the seed of the next. */
  chain(bytes: Uint8Array): bigint {
    let hash = 0n;
    for (let at = 0; at < bytes.length; ) {
      this.begin(hash);
      at += this.add(bytes.subarray(at));
      hash = this.take();
    }
    return hash;
  }

  private begin(seed: bigint): void {
    this.exports_.kiln_begin(seed);
    this.filled_ = 0;
  }
}
