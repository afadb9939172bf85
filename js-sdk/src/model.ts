import type { KernelInfo, PortInfo, StepInfo } from './shared/manifest.js';
import type { Timings } from './shared/messages.js';
import type { Phase } from './shared/timeline.js';
import type { Missing } from './shared/environment.js';
import type { ProfileOptions, RunOptions } from './options.js';
import type { ModelCore } from './main/core.js';
import type { Tensor } from './tensor.js';

/** How a loaded model runs here. */
export interface ModelInfo {
  inputs: readonly PortInfo[];
  outputs: readonly PortInfo[];
  threads: number;
  sharedMemory: boolean;
  relaxedSimd: boolean;
  memory64: boolean;
  workers: boolean;
  /** What this environment lacks, and why. */
  missing: readonly Missing[];
  notes: readonly string[];
  device: string;
  /** Every distinct kernel, its schedule, and where the schedule came from. */
  kernels: readonly KernelInfo[];
  steps: number;
  timings: Timings;
  /** The parts of the load with their times. While weights still arrive this is empty, and all `timings` are 0. */
  phases: readonly Phase[];
  moduleBytes: number;
  downloadedBytes: number;
  /** hit: this load started from the cache. miss: it did not. kept: the next load can. none: there is no cache here. */
  cache: 'hit' | 'miss' | 'kept' | 'none';
}

/** Bytes of the model's memory. */
export interface ModelMemory {
  weights: number;
  arena: number;
  scratch: number;
  /** All bytes of the model's WebAssembly memory that are used. */
  total: number;
  /** The compiler and its memory have been freed. */
  compilerFreed: true;
}

/** One step of the model, and its least time. */
export interface StepProfile extends StepInfo {
  ms: number;
  gflops: number;
}

/** Cores whose model has been collected. */
const forgotten = typeof FinalizationRegistry === 'undefined' ? null : new FinalizationRegistry<ModelCore>((core) => core.forgotten());
/** Models with a run under way. They stay, even if nobody else holds them. */
const running = new Map<Promise<unknown>, Model>();

/** A model that is ready to run. Dispose of it when you do not need it any more. If nobody holds it, it is disposed of when the engine collects it. */
export class Model {
  /** @internal So that it is called so in a page's console as well. */
  static readonly name = 'Model';
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
  /**
   * Resolves when all weights have arrived. Rejects if they never will; then all runs reject too. It resolves later than loadModel() only
   * with `runWhileLoading`.
   */
  readonly loaded: Promise<void>;

  private constructor(private readonly core: ModelCore) {
    this.inputs = core.inputs;
    this.outputs = core.outputs;
    this.loaded = core.loaded;
    forgotten?.register(this, core, this);
  }

  /** @internal loadModel() makes models, nobody else. */
  static of(core: ModelCore): Model {
    return new Model(core);
  }

  /** Runs the model once. Calls during a run wait their turn, in order. The call copies the inputs, except tensors of inputTensor(). */
  run(inputs: Record<string, Tensor>, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    return this.held(this.core.run(inputs, options));
  }

  /**
   * A tensor in the model's own memory. Use it for an input that is large and changes little, such as a key/value cache: write to its
   * `data` between runs and pass it to run(), which then copies nothing. Its values stay from run to run, until a run gets another
   * tensor for this input. At first they are undefined. If the page and the model share no memory (see info().sharedMemory), each run
   * copies it like any other tensor.
   */
  inputTensor(name: string): Tensor {
    return this.core.inputTensor(name);
  }

  /** Times every step on its own. A step's time is the least of several repetitions. */
  profile(inputs: Record<string, Tensor>, options: ProfileOptions = {}): Promise<StepProfile[]> {
    return this.held(this.core.profile(inputs, options));
  }

  /** How the model runs here. */
  info(): ModelInfo {
    return this.core.info();
  }

  /** How large the parts of the model's memory are. */
  memory(): ModelMemory {
    return this.core.memory();
  }

  /** What is known about schedules on this device, as JSON. Ship it beside the model and pass it as `tuning.wisdom`. */
  exportWisdom(): string {
    return this.core.exportWisdom();
  }

  /** Ends the model's workers and frees its memory. Pending runs reject with 'disposed'. A second call does nothing. */
  dispose(): void {
    forgotten?.unregister(this);
    this.core.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private held<T>(work: Promise<T>): Promise<T> {
    running.set(work, this);
    const done = (): unknown => running.delete(work);
    work.then(done, done);
    return work;
  }
}
