// One loaded model: its memory, its instance on this thread, and the run that every thread takes part in.
import { asKilnError, describe, KilnError } from '../shared/errors.js';
import { place, type Slots } from '../shared/mailbox.js';
import type { Manifest } from '../shared/manifest.js';
import {
  addressIn, kBase, kClosed, kControlBytes, kControlCancel, kControlStatus, kHostFirst, kHostGeneration, kHostInside, kHostLast, kHostLeave,
  kStatusAborted, kStatusBadIndex, type RunExport,
} from '../shared/memory.js';

/** A shorter run than this (some 40 µs) is over before another thread is awake. */
const kAloneFlops = 2e6;

/** The packed weights. A later load needs only them in place of the file's, because runs do not change them. */
export function imageIn({ buffer }: WebAssembly.Memory, { memory: { weights, packed } }: Manifest): Uint8Array {
  return new Uint8Array(buffer, kBase + weights, packed);
}

export class Session {
  readonly bytes: Uint8Array;
  readonly control: number;
  private readonly words_: Int32Array;
  private readonly progress_: Uint8Array; // of a run
  private readonly running_: number; // threads that take part in a run
  private readonly run_: RunExport;
  private readonly address_: (value: number) => number | bigint;
  private next_: number | null = null; // step of a run that has begun while weights arrive
  private stopped_: KilnError | null = null; // why it ended early

  constructor(
    readonly module: WebAssembly.Module,
    readonly manifest: Manifest,
    readonly threads: number,
    readonly memory: WebAssembly.Memory,
    memory64: boolean,
  ) {
    this.bytes = new Uint8Array(memory.buffer);
    this.control = kBase + manifest.memory.control;
    this.words_ = new Int32Array(memory.buffer, this.control);
    this.words_[kHostInside / 4] = kClosed;
    this.progress_ = this.bytes.subarray(this.control + kControlBytes, kBase + Math.min(manifest.memory.weights, manifest.memory.arena));
    this.address_ = addressIn(memory64);
    this.running_ = manifest.steps.reduce((sum, { flops }) => sum + flops, 0) < kAloneFlops ? 1 : threads;
    this.run_ = new WebAssembly.Instance(module, { env: { memory } }).exports['run'] as RunExport;
  }

  get image(): Uint8Array {
    return imageIn(this.memory, this.manifest);
  }

  /** Reads the bytes of the inputs and writes those of the outputs. It completes a run that has begun. */
  run(inputs: Uint8Array[], outputs: Uint8Array[]): void {
    if (this.next_ === null) this.begin(inputs);
    this.advance(this.manifest.steps.length);
    this.next_ = null;
    if (this.stopped_ !== null) throw this.stopped_;
    this.manifest.outputs.forEach((port, i) => place(this.port(port), outputs[i] as Uint8Array));
  }

  /** Begins a run. advance() runs its first steps. */
  begin(inputs: Uint8Array[]): void {
    this.clearStatus();
    this.write(inputs);
    this.stopped_ = null;
    this.next_ = 0;
  }

  /** Runs the next steps of that run, up to `last`, unless it was stopped. */
  advance(last: number): void {
    if (this.stopped_ !== null) return;
    try {
      this.steps(this.next_ as number, last);
      this.wasDone(last);
    } catch (thrown) {
      this.stopped_ = asKilnError(thrown, 'internal', 'the run failed');
    }
  }

  /** The same by another worker, which says how many steps are done in all. */
  async advanceBy(helper: Promise<number>): Promise<void> {
    try {
      this.wasDone(await helper);
    } catch (thrown) {
      this.stopped_ = asKilnError(thrown, 'internal', 'the run failed');
    }
  }

  /** The minimum milliseconds of each step over `repeats` whole passes. Short steps are repeated until the clock can measure them. */
  profile(inputs: Uint8Array[], repeats: number, clockMs: number): number[] {
    this.clearStatus();
    this.write(inputs);
    this.steps(0, this.manifest.steps.length); // warm, and every buffer holds sane values
    this.checkStatus();
    const least = this.manifest.steps.map((_, step) => {
      let best = Infinity;
      let count = 1;
      for (let sample = 0; sample < repeats; ) {
        const start = performance.now();
        for (let i = 0; i < count; i++) this.steps(step, step + 1);
        const took = performance.now() - start;
        if (took < clockMs * 20 && count < 1 << 16) count *= 4;
        else sample++;
        if (took >= clockMs * 20 || count >= 1 << 16) best = Math.min(best, took / count);
      }
      return best;
    });
    this.checkStatus();
    return least;
  }

  /** Ends the other threads, which sleep between runs. */
  dismiss(): void {
    Atomics.store(this.words_, kHostLeave / 4, 1);
    this.call();
  }

  /** Where inputs and outputs lie, if a page may look at the memory. */
  get slots(): Slots | null {
    const { buffer } = this.memory;
    if (!(buffer instanceof SharedArrayBuffer)) return null;
    const slot = ({ address, bytes }: { address: number; bytes: number }): Slots['inputs'][number] => ({ at: kBase + address, bytes });
    return { buffer, inputs: this.manifest.inputs.map(slot), outputs: this.manifest.outputs.map(slot) };
  }

  private port({ address, bytes }: { address: number; bytes: number }): Uint8Array {
    return this.bytes.subarray(kBase + address, kBase + address + bytes);
  }

  private write(inputs: Uint8Array[]): void {
    this.manifest.inputs.forEach((port, i) => place(inputs[i] as Uint8Array, this.port(port)));
  }

  /** Runs steps [first, last) on all threads that arrive in time. Returns when the work is done. */
  private steps(first: number, last: number): void {
    if (this.running_ > 1) this.letIn(first, last);
    const a = this.address_;
    try {
      this.run_(a(kBase), a(0), a(this.running_), a(first), a(last));
    } catch (thrown) {
      throw new KilnError('internal', `the model crashed: ${describe(thrown)}; load it again and report it`, { cause: thrown });
    }
    if (this.running_ > 1) this.seeOut();
  }

  /** No thread is in a run. Clears the progress of the last run and calls the other threads. */
  private letIn(first: number, last: number): void {
    const words = this.words_;
    this.progress_.fill(0);
    Atomics.store(words, kHostFirst / 4, first);
    Atomics.store(words, kHostLast / 4, last);
    Atomics.and(words, kHostInside / 4, ~kClosed);
    this.call();
  }

  private call(): void {
    Atomics.add(this.words_, kHostGeneration / 4, 1);
    Atomics.notify(this.words_, kHostGeneration / 4);
  }

  /** A thread that has not come yet need not come any more. A thread inside has nothing left to do. */
  private seeOut(): void {
    const words = this.words_;
    Atomics.or(words, kHostInside / 4, kClosed);
    for (let inside = 0; (inside = Atomics.load(words, kHostInside / 4)) !== kClosed; ) Atomics.wait(words, kHostInside / 4, inside);
  }

  private wasDone(steps: number): void {
    this.next_ = steps;
    this.checkStatus();
  }

  private clearStatus(): void {
    Atomics.store(this.words_, kControlStatus / 4, 0);
    Atomics.store(this.words_, kControlCancel / 4, 0);
  }

  private checkStatus(): void {
    const status = Atomics.load(this.words_, kControlStatus / 4);
    if (status === 0) return;
    if (status === kStatusAborted) throw new KilnError('aborted', 'the run was stopped');
    if (status === kStatusBadIndex) throw new KilnError('bad-input', 'an input holds an index (a token id, a position) that is outside its table');
    throw new KilnError('internal', `the run ended with the unknown status ${status}`);
  }
}
