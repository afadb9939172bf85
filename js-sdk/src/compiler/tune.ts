import type { CompileSettings, LoadProgress } from '../shared/messages.js';
import { addressIn, createMemory, kBase, patiently } from '../shared/memory.js';
import type { Compiler } from './instance.js';
import { clockStep, measure, sampleLength } from './measure.js';

const kBatch = 8;

type Bench = (base: number | bigint, index: number | bigint, repeats: number | bigint) => void;

/** Lets the compiler's search measure on this machine until it is done or the budget is spent. Returns how many were measured. */
export async function tune(compiler: Compiler, settings: CompileSettings, progress: (event: LoadProgress) => void): Promise<number> {
  const now = (): number => performance.now();
  const start = now();
  const deadline = start + settings.budgetMs;
  const sampleMs = sampleLength(settings.budgetMs, clockStep(now));
  const address = addressIn(settings.memory64);
  let memory: WebAssembly.Memory | null = null;
  let measured = 0;
  while (now() < deadline) {
    const batch = compiler.tuneNext(kBatch);
    if (!batch) break;
    const { bytes, duel, candidates } = compiler.tuneDescribe();
    if (!memory || memory.buffer.byteLength < kBase + bytes) {
      memory = await patiently(() => createMemory(kBase + bytes, settings));
      new Float32Array(memory.buffer).fill(1); // pages that nobody has written are all one page of zeros, which any cache holds
    }
    const { instance } = await WebAssembly.instantiate(batch.module, { env: { memory } });
    const bench = instance.exports['bench'] as Bench;
    const runs = candidates.map(({ flops }, index) => ({
      flops,
      bench: (repeats: number) => bench(address(kBase), address(index), address(repeats)),
    }));
    measure(runs, sampleMs, deadline, now, duel).forEach((ns, index) => compiler.tuneReport(index, ns));
    measured += batch.count;
    progress({ stage: 'tune', elapsedMs: now() - start, budgetMs: settings.budgetMs, candidates: measured });
  }
  return measured;
}
