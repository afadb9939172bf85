// Times candidate kernels the way engines need it: warm each up until it is optimised, interleave, keep the minimum.

export interface Measured {
  flops: number;
  /** Runs the candidate `repeats` times. */
  bench: (repeats: number) => void;
}

const kWarmupFlops = 5e6; // V8 recompiles a kernel after some 3 MFLOP
const kHopeless = 1.3; // so much slower than the best, a candidate does not win
/** How much slower than the best so far a candidate may be to get each of its samples. */
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

/** Length of one sample in ms: about a third, long against the clock's step, shorter when the budget is small. */
export function sampleLength(budgetMs: number, clockMs: number): number {
  return Math.max(Math.min(0.3, budgetMs / 400), clockMs * 20);
}

/**
 * Best nanoseconds per call of each candidate, which are kernels for the same problem; negative where it failed. Stops early at `deadline` with what it has, which is
 * never less than one sample each. A duel decides between two, so chance must not: neither is given up, and one that is cut short has failed.
 */
export function measure(candidates: Measured[], sampleMs: number, deadline: number, now: () => number, duel = false): number[] {
  const once = candidates.map((candidate) => warmUp(candidate, sampleMs, now));
  const best = candidates.map(() => Infinity);
  const perFlop = (times: number[], i: number): number => (times[i] ?? Infinity) / (candidates[i]?.flops || 1);
  const least = (times: number[]): number => Math.min(...candidates.map((_, i) => perFlop(times, i)));
  // All samples are as long as the longest repeat of those that may win: on a busy machine a short one finds a quiet moment sooner.
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

/** Milliseconds of one repeat, roughly; Infinity when the candidate traps. */
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
