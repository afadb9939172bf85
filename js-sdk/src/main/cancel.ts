import { kControlCancel } from '../shared/memory.js';
import type { CancelHandle } from '../shared/messages.js';

/**
 * Stops a run by setting the cancel word of the model's shared memory. The memory waits unopened in a port until it is needed. A page that
 * held it would keep its address space (some 10 GB in V8) until the next garbage collection, long after dispose().
 */
export class Canceller {
  private word_: Int32Array | null = null;

  constructor(private readonly handle_: CancelHandle | null) {}

  /** Sets the word, unless the run has ended meanwhile. */
  stop(running: () => boolean): void {
    if (!this.handle_) return;
    const { port, address } = this.handle_;
    const set = (): void => {
      if (this.word_ && running()) Atomics.store(this.word_, 0, 1);
    };
    if (this.word_) {
      set();
      return;
    }
    port.onmessage = ({ data: memory }: MessageEvent<WebAssembly.Memory>) => {
      this.word_ = new Int32Array(memory.buffer, address + kControlCancel, 1);
      port.onmessage = null;
      set();
    };
  }

  close(): void {
    this.word_ = null;
    this.handle_?.port.close();
  }
}
