// Weights that arrive before the layout is known. They wait in the model's memory and are later packed over themselves. So no page of
// memory is touched for them alone.
import { createMemory, kBase, kLimit32 } from '../shared/memory.js';
import type { Prefetcher } from './prefetch.js';
import type { WeightWriter } from './weights.js';

/** Room in front of the file, for everything that is not weights and for what packing adds. It costs only address space. */
const kLead = 64 << 20;
const kLeadShare = 1 / 4;
/** Fewer bytes than this arrive at once. They may wait until their place is known. */
const kLeastBytes = 1 << 20;

/** Where weights of so many bytes land, from the memory's base. 0: they do not land early. */
export function earlyPlace(weightsBytes: number): number {
  const at = Math.ceil((kLead + weightsBytes * kLeadShare) / 64) * 64;
  return weightsBytes >= kLeastBytes && kBase + at + weightsBytes + 64 <= kLimit32 ? at : 0; // or nobody knows how much there is
}

/** A memory that is likely to fit a model whose file lands there. null: the engine refuses it, but may give one that fits exactly. */
export function earlyMemory(fileAt: number, weightsBytes: number, shared: boolean): WebAssembly.Memory | null {
  try {
    return createMemory(kBase + fileAt + weightsBytes + 64, { shared, memory64: false });
  } catch {
    return null;
  }
}

/**
 * How much of a file may land before it is known whether the model needs as much memory: a quarter. Weights that are rounded to 16 bits
 * have room over it.
 */
export const landsAnyway = (weightsBytes: number): number => Math.floor(weightsBytes / 256) * 64;

export class Landing {
  private arrived_ = 0;
  private writer_: WeightWriter | null = null;
  private wake_: () => void = () => undefined;

  /** `bytes` is the early place of all weights, the first `room_` bytes of which may be used. */
  constructor(
    private readonly stream_: Prefetcher,
    private readonly bytes_: Uint8Array,
    private room_: number,
  ) {}

  /** From now on all weights may land. */
  extend(): void {
    this.room_ = this.bytes_.length;
    this.wake_();
  }

  /** From now on weights go to their places, first those that wait. */
  pass(writer: WeightWriter): void {
    writer.feed(this.bytes_.subarray(0, this.arrived_));
    this.writer_ = writer;
    this.wake_();
  }

  /** Reads until `complete` says so, or the stream ends. */
  async read(complete: () => boolean): Promise<void> {
    while (!complete()) {
      if (!this.writer_ && this.arrived_ === this.room_) {
        await new Promise<void>((resolve) => (this.wake_ = resolve));
        continue;
      }
      const chunk = await this.stream_.next();
      if (!chunk) return;
      if (this.writer_) this.writer_.feed(chunk);
      else if (!this.land(chunk)) continue;
      this.stream_.source.release?.(chunk.buffer);
    }
  }

  /** Whether there was room for the whole chunk. The rest is read again. */
  private land(chunk: Uint8Array): boolean {
    const part = chunk.subarray(0, this.room_ - this.arrived_);
    this.bytes_.set(part, this.arrived_);
    this.arrived_ += part.length;
    this.stream_.unread(chunk.subarray(part.length));
    return part.length === chunk.length;
  }
}
