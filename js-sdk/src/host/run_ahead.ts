// Runs the first steps of a run in an idle worker, while the host puts weights in their place.
import { addressIn, kControlStatus, type RunExport } from '../shared/memory.js';
import type { RunAhead } from '../shared/messages.js';

const kComplete = 0;
const kStop = 1;

export function newArrivalWords(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(8));
}

/** Notes that so many transfers are complete. */
export function setComplete(words: Int32Array, transfers: number): void {
  Atomics.store(words, kComplete, transfers);
  Atomics.notify(words, kComplete);
}

/** The host continues the run itself. A worker that waits for more weights stops. */
export function stopAhead(words: Int32Array): void {
  Atomics.store(words, kStop, 1);
  setComplete(words, 2 ** 31 - 1);
}

/**
 * Runs step after step as their weights arrive, until it is stopped or a step says that the run is over. Returns the number of steps that
 * it has run.
 */
export function runAhead({ module, memory, memory64, base, control, needs, arrival }: RunAhead): number {
  const run = new WebAssembly.Instance(module, { env: { memory } }).exports['run'] as RunExport;
  const status = new Int32Array(memory.buffer, control + kControlStatus, 1);
  const address = addressIn(memory64);
  let step = 0;
  for (const need of needs) {
    for (let complete = 0; (complete = Atomics.load(arrival, kComplete)) < need; ) Atomics.wait(arrival, kComplete, complete);
    if (Atomics.load(arrival, kStop) || Atomics.load(status, 0) !== 0) break;
    run(address(base), address(0), address(1), address(step), address(step + 1));
    step++;
  }
  return step;
}
