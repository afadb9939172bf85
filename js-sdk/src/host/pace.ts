import { turn } from '../shared/turn.js';

const kSliceMs = 2;
/** Of the time that others take. */
const kShare = 1 / 4;

/** For work in the background of a thread that has better things to do: a little, then others have their turn, and as they take longer so may it. */
export class Pace {
  private until_ = 0;

  /** Resolves when there may be more. */
  async next(): Promise<void> {
    if (performance.now() < this.until_) return;
    const before = performance.now();
    await turn();
    const now = performance.now();
    this.until_ = now + Math.max(kSliceMs, kShare * (now - before));
  }
}
