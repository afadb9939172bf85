import { KilnError } from '../shared/errors.js';
import type { Transfer } from '../shared/manifest.js';

const kInFlight = 16 << 20;

function hex(digest: ArrayBuffer): string {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Compares segments with their SHA-256 beside the load; holds few copies at a time. */
export class Verifier {
  private in_flight_ = 0;
  private readonly pending_ = new Set<Promise<void>>();
  private failure_: KilnError | null = null;
  private scratch_ = new Uint8Array(0);

  constructor(private readonly name_: string) {}

  static get available(): boolean {
    return typeof globalThis.crypto?.subtle?.digest === 'function';
  }

  /** The bytes may change as soon as this returns: digest() takes a copy of its own. */
  check(transfer: Transfer, bytes: Uint8Array): void {
    if (!transfer.sha256) return;
    const expected = transfer.sha256;
    this.in_flight_ += bytes.length;
    const pending = crypto.subtle.digest('SHA-256', this.unshared(bytes)).then((digest) => {
      this.in_flight_ -= bytes.length;
      this.pending_.delete(pending);
      if (hex(digest) === expected) return;
      const where = `segment ${transfer.segment}`;
      this.failure_ ??= new KilnError('bad-file', `${this.name_} is damaged: ${where} does not match its checksum; download it again`, { where });
    });
    this.pending_.add(pending);
  }

  /** Waits until there is room for more; throws what was found. */
  async room(): Promise<void> {
    while (this.in_flight_ > kInFlight) await Promise.race(this.pending_);
    if (this.failure_) throw this.failure_;
  }

  async end(): Promise<void> {
    await Promise.all(this.pending_);
    if (this.failure_) throw this.failure_;
  }

  /** digest() refuses shared memory: such bytes go through a scratch buffer that is used again and again. */
  private unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    if (bytes.buffer instanceof ArrayBuffer) return bytes as Uint8Array<ArrayBuffer>;
    if (this.scratch_.length < bytes.length) this.scratch_ = new Uint8Array(bytes.length);
    const copy = this.scratch_.subarray(0, bytes.length);
    copy.set(bytes);
    return copy;
  }
}
