// Threads 1… of a model. Each sleeps on the control block's generation, takes part in a run, and sleeps again.
import { Channel, type Hold } from '../shared/channel.js';
import { addressIn, kClosed, kHostFirst, kHostGeneration, kHostInside, kHostLast, kHostLeave, type RunExport } from '../shared/memory.js';
import { helpRestore } from './restore.js';
import type { ComputeCalls } from '../shared/messages.js';

type Start = Parameters<ComputeCalls['start']>[0];

/** Some 50 µs of polling. A caller that runs one step after another, as a profile does, then finds the threads awake. */
const kLooks = 10_000;

/** Runs until all threads must leave. A trap leaves as an uncaught error, which ends the model for the page. */
function serve({ module, memory, base, control, thread, threads, memory64 }: Start): void {
  const run = new WebAssembly.Instance(module, { env: { memory } }).exports['run'] as RunExport;
  const words = new Int32Array(memory.buffer, control);
  const address = addressIn(memory64);
  let generation = 0;
  while (Atomics.load(words, kHostLeave / 4) === 0) {
    for (let i = kLooks; i > 0 && Atomics.load(words, kHostGeneration / 4) === generation; i--);
    Atomics.wait(words, kHostGeneration / 4, generation);
    const current = Atomics.load(words, kHostGeneration / 4);
    if (current === generation) continue;
    generation = current;
    if (!(Atomics.add(words, kHostInside / 4, 1) & kClosed)) {
      const first = Atomics.load(words, kHostFirst / 4);
      const last = Atomics.load(words, kHostLast / 4);
      run(address(base), address(thread), address(threads), address(first), address(last));
    }
    if (Atomics.sub(words, kHostInside / 4, 1) === kClosed + 1) Atomics.notify(words, kHostInside / 4);
  }
}

export function startCompute(port: MessagePort, hold: Hold): void {
  new Channel<object, ComputeCalls>(
    port,
    {
      restore: helpRestore,
      start: (arg) => {
        setTimeout(() => serve(arg), 0); // after the answer has left
        return null;
      },
    },
    hold,
  );
}
