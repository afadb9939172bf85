// The timeline of a load: phases in the page, the host worker and the compiler worker, on one clock.

export interface Phase {
  name: string;
  /** Milliseconds since the call of loadModel. Phases overlap. */
  startMs: number;
  endMs: number;
}

/** Milliseconds on a clock that all workers of a page share. */
export const sharedNow = (): number => performance.timeOrigin + performance.now();

export class Timeline {
  readonly phases: Phase[] = [];

  /** `origin` is the sharedNow() of the load's beginning. */
  constructor(readonly origin: number) {}

  now(): number {
    return sharedNow() - this.origin;
  }

  add(name: string, startMs: number): void {
    this.phases.push({ name, startMs, endMs: this.now() });
  }

  async during<T>(name: string, work: () => T | Promise<T>): Promise<T> {
    const start = this.now();
    try {
      return await work();
    } finally {
      this.add(name, start);
    }
  }
}
