import { asKilnError, KilnError } from '../shared/errors.js';
import type { ByteSource } from './reader.js';

/**
 * The size of the buffer. Bytes that wait here have not been written to the model's memory, where untouched pages cost nothing. So both
 * together hold the file once.
 */
export const kBufferBytes = 256 << 20;

/**
 * Reads ahead of its consumer into a bounded buffer, so that the download goes on while the compiler works. A read that
 * brings nothing for `stallTimeoutMs` is an error.
 */
export class Prefetcher {
  /** Resolves when no more chunks will come. */
  readonly done: Promise<void>;
  private chunks_: Uint8Array[] = [];
  private buffered_ = 0;
  private received_ = 0;
  private ended_ = false;
  private reading_since_ = Infinity;
  private failure_: KilnError | null = null;
  private wake_consumer_: (() => void) | null = null;
  private wake_pump_: (() => void) | null = null;
  private inspect_: ((chunk: Uint8Array) => Promise<void> | undefined) | null = null;

  constructor(
    readonly source: ByteSource,
    private readonly stallTimeoutMs_: number,
    private readonly on_progress_: (received: number) => void,
    private limit_: number = kBufferBytes,
  ) {
    this.done = this.pump();
  }

  get received(): number {
    return this.received_;
  }

  /** The next chunk, or null at the end. */
  async next(): Promise<Uint8Array | null> {
    while (this.chunks_.length === 0) {
      if (this.failure_ !== null) throw this.failure_;
      if (this.ended_) return null;
      await new Promise<void>((resolve) => (this.wake_consumer_ = resolve));
    }
    const chunk = this.chunks_.shift() as Uint8Array;
    this.buffered_ -= chunk.length;
    this.wake_pump_?.();
    return chunk;
  }

  /** From now on, reads this far ahead. */
  readAhead(bytes: number): void {
    this.limit_ = bytes;
    this.wake_pump_?.();
  }

  /** Shows `inspect` what waits and from now on every chunk that comes, when it comes, and reads on when it has answered; what it throws, next() throws. */
  inspect(inspect: (chunk: Uint8Array) => Promise<void> | undefined): void {
    for (const chunk of this.chunks_) void inspect(chunk);
    this.inspect_ = inspect;
  }

  /** Puts bytes back in front. */
  unread(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.chunks_.unshift(chunk);
    this.buffered_ += chunk.length;
  }

  /** Exactly `size` bytes, or fewer at the end of the source. */
  async take(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const taken = new Uint8Array(size);
    let filled = 0;
    while (filled < size) {
      const chunk = await this.next();
      if (!chunk) break;
      const part = chunk.subarray(0, size - filled);
      taken.set(part, filled);
      filled += part.length;
      this.unread(chunk.subarray(part.length));
    }
    return taken.subarray(0, filled);
  }

  cancel(): void {
    this.ended_ = true;
    this.chunks_ = [];
    this.source.cancel();
    this.wake_pump_?.();
  }

  private async pump(): Promise<void> {
    const watchdog = this.watch();
    try {
      while (!this.ended_) {
        while (this.buffered_ >= this.limit_ && !this.ended_) await new Promise<void>((resolve) => (this.wake_pump_ = resolve));
        if (this.ended_) break;
        this.reading_since_ = performance.now();
        const chunk = await this.source.read();
        this.reading_since_ = Infinity;
        if (!chunk || this.ended_) break;
        if (chunk.length === 0) continue; // a sign of life
        const busy = this.inspect_?.(chunk);
        if (busy) await busy;
        if (this.ended_) break;
        this.chunks_.push(chunk);
        this.buffered_ += chunk.length;
        this.received_ += chunk.length;
        this.on_progress_(this.received_);
        this.wake_consumer_?.();
      }
    } catch (thrown) {
      this.fail(asKilnError(thrown, 'network', `${this.source.name} cannot be read`));
    }
    clearInterval(watchdog);
    this.ended_ = true;
    this.wake_consumer_?.();
  }

  /** One timer for all reads: there are thousands of them. */
  private watch(): ReturnType<typeof setInterval> {
    const timeout = this.stallTimeoutMs_;
    return setInterval(() => {
      if (performance.now() - this.reading_since_ < timeout) return;
      const message = `${this.source.name} sent nothing for ${timeout / 1000} s after ${this.received_} bytes; try again, or raise stallTimeoutMs`;
      this.fail(new KilnError('stalled', message, { where: this.source.name }));
    }, Math.min(1000, Math.max(timeout / 4, 10)));
  }

  private fail(error: KilnError): void {
    if (this.ended_) return;
    this.failure_ = error;
    this.ended_ = true;
    this.source.cancel();
    this.wake_consumer_?.();
  }
}
