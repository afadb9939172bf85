import { aborted, type KilnError } from '../shared/errors.js';

interface Entry {
  start: () => void;
  fail: (error: KilnError) => void;
}

/** Runs tasks one at a time, in order. */
export class RunQueue {
  private readonly waiting_: Entry[] = [];
  private current_: Entry | null = null;

  /** A task that is added now starts at once. */
  get idle(): boolean {
    return this.current_ === null;
  }

  /**
   * If the signal aborts a task that has started, `stop` is called and its promise rejects at once. The next task still waits for it to
   * end.
   */
  add<T>(task: () => Promise<T>, stop: () => void, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(aborted(signal));
    return new Promise<T>((resolve, reject) => {
      const leave = (): void => signal?.removeEventListener('abort', abort);
      const entry: Entry = {
        start: () => {
          void task()
            .then(resolve, reject)
            .finally(() => {
              leave();
              this.next();
            });
        },
        fail: (error) => {
          leave();
          reject(error);
        },
      };
      const abort = (): void => {
        const place = this.waiting_.indexOf(entry);
        if (place >= 0) this.waiting_.splice(place, 1);
        else if (this.current_ === entry) stop();
        entry.fail(aborted(signal));
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.waiting_.push(entry);
      if (!this.current_) this.next();
    });
  }

  /** Rejects everything, started or not. */
  clear(error: KilnError): void {
    this.current_?.fail(error);
    for (const entry of this.waiting_.splice(0)) entry.fail(error);
  }

  private next(): void {
    this.current_ = this.waiting_.shift() ?? null;
    this.current_?.start();
  }
}
