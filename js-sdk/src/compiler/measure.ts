// Times candidate kernels in an engine: warms each up until it is optimised, interleaves them, and keeps the minimum.

export interface Measured {
  flops: number;
  /** Runs the candidate `repeats` times. */
  bench: (repeats: number) => void;
}

const kWarmupFlops = 5e6; // V8 recompiles a kernel after some 3 MFLOP
const kHopeless = 1.3; // so much slower than the best, a candidate does not win
/** A candidate gets further samples only if it is at most so much slower than the best so far. */
const kLimits = [Infinity, kHopeless, 1.15, 1.15, 1.05, 1.05, 1.05, 1.05];
const kFew = 3; // samples that are enough of what takes long

/** The smallest step of the clock, in ms: 5 µs when isolated, up to 1 ms otherwise. */
export function clockStep(now: () => number): number {
  let step = Infinity;
  for (let i = 0; i < 5; i++) {
    const start = now();
    let end = start;
    while (end === start) end = now();
    step = Math.min(step, end - start);
  }
  return step;
}

/** The length of a sample in ms: about a third, much longer than the clock's step, and shorter if the budget is small. */
export function sampleLength(budgetMs: number, clockMs: number): number {
  return Math.max(Math.min(0.3, budgetMs / 400), clockMs * 20);
}

/**
 * The best nanoseconds per call of each candidate; negative if it failed. The candidates are kernels for the same problem. At `deadline` it
 * stops early, with at least one sample each. A duel must not be decided by chance: neither candidate is given up, and a duel that is cut
 * short has failed.
 */
export function measure(candidates: Measured[], sampleMs: number, deadline: number, now: () => number, duel = false): number[] {
  const once = candidates.map((candidate) => warmUp(candidate, sampleMs, now));
  const best = candidates.map(() => Infinity);
  const perFlop = (times: number[], i: number): number => (times[i] ?? Infinity) / (candidates[i]?.flops || 1);
  const least = (times: number[]): number => Math.min(...candidates.map((_, i) => perFlop(times, i)));
  // All samples are as long as the longest repeat of a candidate that may win. On a busy machine a shorter sample would find a quiet moment
  // sooner.
  const hopeful = once.filter((ms, i) => Number.isFinite(ms) && perFlop(once, i) <= kHopeless * least(once));
  const length = Math.max(sampleMs, ...hopeful);
  const samples = duel ? kLimits.length : Math.max(kFew, 1 + Math.floor((kLimits.length * sampleMs) / length));
  for (const [sample, slack] of kLimits.slice(0, samples).entries()) {
    if (sample > 0 && now() >= deadline) {
      if (duel && sample < kFew) return candidates.map(() => -1);
      break;
    }
    const limit = duel ? Infinity : slack * least(best);
    candidates.forEach((candidate, i) => {
      const ms = once[i] ?? Infinity;
      if (!Number.isFinite(ms) || perFlop(best, i) > limit) return;
      const count = Math.max(1, Math.round(length / ms));
      const start = now();
      candidate.bench(count);
      best[i] = Math.min(best[i] ?? Infinity, (now() - start) / count);
    });
  }
  return best.map((ms) => (Number.isFinite(ms) ? ms * 1e6 : -1));
}

/** The rough milliseconds of one repeat. Infinity if the candidate traps. */
function warmUp({ flops, bench }: Measured, sampleMs: number, now: () => number): number {
  try {
    bench(Math.max(1, Math.ceil(kWarmupFlops / Math.max(flops, 1e3))));
    let count = 1;
    for (;;) {
      const start = now();
      bench(count);
      const took = now() - start;
      if (took >= sampleMs / 4) return took / count;
      count *= 4;
    }
  } catch {
    return Infinity;
  }
}
