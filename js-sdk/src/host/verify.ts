import { KilnError } from '../shared/errors.js';
import { kBlockBytes, type Manifest } from '../shared/manifest.js';
import type { Digest } from './digest.js';

/** Hashes weights block by block while they arrive, and compares as soon as it is known with what. */
export class Verifier {
  private readonly hashes_: bigint[] = []; // that wait to be compared
  private compared_ = 0;
  private received_ = 0;
  private expected_: Pick<Manifest, 'weightsBytes' | 'blockHashes'> | null = null;

  constructor(
    private readonly digest_: Digest,
    private readonly name_: string,
  ) {}

  /** The next bytes of the weights. */
  add(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const size = this.digest_.add(chunk.subarray(at));
      at += size;
      this.received_ += size;
      if (this.digest_.full) this.hashes_.push(this.digest_.take());
    }
    this.compare();
  }

  expect(expected: Pick<Manifest, 'weightsBytes' | 'blockHashes'>): void {
    this.expected_ = expected;
    this.compare();
  }

  get complete(): boolean {
    return this.expected_ !== null && this.received_ >= this.expected_.weightsBytes;
  }

  /** After the last bytes: compares what is left. */
  end(): void {
    if (this.received_ % kBlockBytes > 0) this.hashes_.push(this.digest_.take());
    this.compare();
    if (this.expected_ && this.compared_ < this.expected_.blockHashes.length) throw this.damaged();
  }

  private compare(): void {
    if (!this.expected_) return;
    for (const hash of this.hashes_.splice(0)) {
      const expected = this.expected_.blockHashes[this.compared_];
      if (expected === undefined || hash !== BigInt(`0x${expected}`)) throw this.damaged();
      this.compared_++;
    }
  }

  private damaged(): KilnError {
    const where = `byte ${this.compared_ * kBlockBytes} of the weights`;
    return new KilnError('bad-file', `${this.name_} is damaged: its weights do not match their hash, in the block at ${where}; download it again`, { where });
  }
}
