import { turn } from '../shared/turn.js';

const kSliceMs = 2;
/** The fraction of the time that other tasks take. */
const kShare = 1 / 4;

/**
 * Paces background work on a thread with more important tasks. It works a little, then others get a turn. If they take longer, it may too.
 */
export class Pace {
  private until_ = 0;

  /** Resolves when the work may continue. */
  async next(): Promise<void> {
    if (performance.now() < this.until_) return;
    const before = performance.now();
    await turn();
    const now = performance.now();
    this.until_ = now + Math.max(kSliceMs, kShare * (now - before));
  }
}
