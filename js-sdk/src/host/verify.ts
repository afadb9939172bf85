import { KilnError } from '../shared/errors.js';
import { hex } from '../shared/hex.js';
import { kBlockBytes } from '../shared/manifest.js';
import type { Digest } from './digest.js';

/** So many blocks may wait for their digest, of which an engine has a copy each. */
const kMostWaiting = 8;
const kDigestBytes = 32;

/** What the head of a file says of its weights: their bytes, and in hexadecimal the hash of each block. */
export interface Expected {
  weightsBytes: number;
  blockHashes: string[];
}

/** Of digests that lie one after the other. */
export const digestsIn = (bytes: Uint8Array): string[] => Array.from({ length: bytes.length / kDigestBytes }, (_, i) => hex(bytes.subarray(i * kDigestBytes, (i + 1) * kDigestBytes)));

/** Hashes one block after the other. */
interface Blocks {
  /** Adds bytes to the block; how many there was room for. */
  add(bytes: Uint8Array): number;
  readonly full: boolean;
  /** The hash of the block, which is empty afterwards. */
  take(): string | Promise<string>;
}

/** XXH64, which notices damage and takes a tenth of the time. */
export class Checksums implements Blocks {
  constructor(private readonly digest_: Digest) {}

  add(bytes: Uint8Array): number {
    return this.digest_.add(bytes);
  }

  get full(): boolean {
    return this.digest_.full;
  }

  take(): string {
    return this.digest_.take().toString(16).padStart(16, '0');
  }
}

/** SHA-256 by the engine, on a thread of its own, which also notices malice. */
export class Sha256 implements Blocks {
  private readonly room_ = new Uint8Array(kBlockBytes);
  private whole_: Uint8Array<ArrayBuffer> | null = null;
  private filled_ = 0;

  add(bytes: Uint8Array): number {
    const part = bytes.subarray(0, kBlockBytes - this.filled_) as Uint8Array<ArrayBuffer>;
    if (part.length === kBlockBytes) this.whole_ = part;
    else this.room_.set(part, this.filled_);
    this.filled_ += part.length;
    return part.length;
  }

  get full(): boolean {
    return this.filled_ === kBlockBytes;
  }

  take(): Promise<string> {
    const digest = crypto.subtle.digest('SHA-256', this.whole_ ?? this.room_.subarray(0, this.filled_)); // of a copy
    this.whole_ = null;
    this.filled_ = 0;
    return digest.then((bytes) => hex(new Uint8Array(bytes)));
  }
}

/** Hashes weights block by block while they arrive, and compares as soon as it is known with what. */
export class Verifier {
  private readonly hashes_: string[] = []; // as they are known, in any order
  private readonly waiting_: Promise<void>[] = [];
  private blocks_ = 0;
  private compared_ = 0;
  private received_ = 0;
  private expected_: Expected | null = null;

  constructor(
    private readonly block_: Blocks,
    private readonly name_: string,
  ) {}

  /** The next bytes of the weights. Who waits for the answer has no more blocks waiting than the engine has room for. */
  add(chunk: Uint8Array): Promise<void> | undefined {
    for (let at = 0; at < chunk.length; ) {
      const size = this.block_.add(chunk.subarray(at));
      at += size;
      this.received_ += size;
      if (this.block_.full) this.take();
    }
    this.compare();
    return this.waiting_.at(-kMostWaiting);
  }

  expect(expected: Expected): void {
    this.expected_ = expected;
    this.compare();
  }

  get complete(): boolean {
    return this.expected_ !== null && this.received_ >= this.expected_.weightsBytes;
  }

  /** After the last bytes: compares what is left. */
  async end(): Promise<void> {
    if (this.received_ % kBlockBytes > 0) this.take();
    await Promise.all(this.waiting_);
    this.compare();
    if (this.expected_ && this.compared_ < this.expected_.blockHashes.length) throw this.damaged();
  }

  private take(): void {
    const block = this.blocks_++;
    const hash = this.block_.take();
    if (typeof hash === 'string') this.hashes_[block] = hash;
    else {
      const known = hash.then((hash) => void (this.hashes_[block] = hash));
      known.catch(() => undefined); // thrown by end()
      this.waiting_.push(known);
    }
  }

  private compare(): void {
    if (!this.expected_) return;
    for (let hash: string | undefined; (hash = this.hashes_[this.compared_]) !== undefined; this.compared_++) {
      if (hash !== this.expected_.blockHashes[this.compared_]) throw this.damaged();
    }
  }

  private damaged(): KilnError {
    const where = `byte ${this.compared_ * kBlockBytes} of the weights`;
    return new KilnError('bad-file', `${this.name_} is damaged: its weights do not match their hash, in the block at ${where}; download it again`, { where });
  }
}

/** Throws unless the head, which has the digests of all weights, is one of those that the page insists on. */
export async function insist(integrity: readonly string[], head: Uint8Array<ArrayBuffer>, name: string): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', head));
  const found = `sha256-${btoa(String.fromCharCode(...digest))}`;
  if (!integrity.includes(found)) throw new KilnError('bad-file', `${name} is another file than the one that was asked for: its integrity is ${found}`, { where: 'integrity' });
}
