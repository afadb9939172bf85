// Times candidate kernels the way engines need it: warm each up until it is optimised, interleave, keep the minimum.

export interface Measured {
  flops: number;
  /** Runs the candidate `repeats` times. */
  bench: (repeats: number) => void;
}

const kWarmupFlops = 5e6; // V8 recompiles a kernel after some 3 MFLOP
const kSamples = 10;
const kHeats = 3; // samples after which a candidate is given up that is slower than the best
const kHopeless = 1.15; // by this

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

/** Length of one sample in ms: about a half, long against the clock's step, shorter when the budget is small. */
export function sampleLength(budgetMs: number, clockMs: number): number {
  return Math.max(Math.min(0.5, budgetMs / 400), clockMs * 20);
}

/**
 * Best nanoseconds per call of each candidate, which are kernels for the same problem; negative where it failed. Stops early at `deadline` with what it has, which is
 * never less than one sample each.
 */
export function measure(candidates: Measured[], sampleMs: number, deadline: number, now: () => number): number[] {
  const best = candidates.map(() => Infinity);
  const repeats = candidates.map((candidate) => warmUp(candidate, sampleMs, now));
  const pace = (i: number): number => (best[i] ?? Infinity) / (candidates[i]?.flops || 1);
  for (let sample = 0; sample < kSamples; sample++) {
    if (sample > 0 && now() >= deadline) break;
    const limit = sample < kHeats ? Infinity : kHopeless * Math.min(...candidates.map((_, i) => pace(i)));
    candidates.forEach((candidate, i) => {
      const count = repeats[i] ?? 0;
      if (count === 0 || pace(i) > limit) return;
      const start = now();
      candidate.bench(count);
      best[i] = Math.min(best[i] ?? Infinity, (now() - start) / count);
    });
  }
  return best.map((ms) => (Number.isFinite(ms) ? ms * 1e6 : -1));
}

/** Returns how many calls fill a sample, or 0 when the candidate traps. */
function warmUp({ flops, bench }: Measured, sampleMs: number, now: () => number): number {
  try {
    bench(Math.max(1, Math.ceil(kWarmupFlops / Math.max(flops, 1e3))));
    let count = 1;
    for (;;) {
      const start = now();
      bench(count);
      const took = now() - start;
      if (took >= sampleMs / 4) return Math.max(1, Math.round((count * sampleMs) / took));
      count *= 4;
    }
  } catch {
    return 0;
  }
}
