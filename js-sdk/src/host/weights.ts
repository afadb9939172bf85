import { KilnError } from '../shared/errors.js';
import type { Transfer } from '../shared/manifest.js';

/**
 * Writes the weights to their addresses as they stream by. Transfers are in file order and may share bytes. When one is complete, `done` is
 * called with the number of complete ones, before any byte of a later transfer that does not share bytes with it is written. The bytes may
 * be in the model's memory already, even in their place.
 */
export class WeightWriter {
  private position_ = 0;
  private next_ = 0;

  constructor(
    private readonly transfers_: readonly Transfer[],
    private readonly bytes_: Uint8Array,
    private readonly base_: number,
    private readonly done_: (transfer: Transfer, complete: number) => void,
  ) {
    this.feed(new Uint8Array(0));
  }

  get complete(): boolean {
    return this.next_ === this.transfers_.length;
  }

  feed(chunk: Uint8Array): void {
    const chunkBegin = this.position_;
    const chunkEnd = chunkBegin + chunk.length;
    for (let i = this.next_; i < this.transfers_.length; i++) {
      const transfer = this.transfers_[i] as Transfer;
      if (transfer.offset > chunkEnd) break;
      const begin = Math.max(transfer.offset, chunkBegin);
      const end = Math.min(transfer.offset + transfer.size, chunkEnd);
      if (begin < end) this.write(chunk.subarray(begin - chunkBegin, end - chunkBegin), this.base_ + transfer.address + begin - transfer.offset);
      if (i === this.next_ && transfer.offset + transfer.size <= chunkEnd) {
        this.next_++;
        this.done_(transfer, this.next_);
      }
    }
    this.position_ = chunkEnd;
  }

  private write(part: Uint8Array, at: number): void {
    if (part.buffer !== this.bytes_.buffer || part.byteOffset !== at) this.bytes_.set(part, at);
  }

  /** The file has ended. */
  end(name: string): void {
    if (this.complete) return;
    const needed = this.transfers_.reduce((most, t) => Math.max(most, t.offset + t.size), 0);
    const message = `${name} is truncated: its weights end after ${this.position_} of ${needed} bytes; download it again or export it again`;
    throw new KilnError('bad-file', message, { where: `byte ${this.position_} of the weights` });
  }
}
