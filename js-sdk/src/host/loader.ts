import { describe, KilnError } from '../shared/errors.js';
import { freePhases, type Manifest } from '../shared/manifest.js';
import { addressIn, kBase, type InitExport } from '../shared/memory.js';

/** Fills a model's memory while the compiler still emits what will run there: a module of its own packs the weights. */
export class Loader {
  readonly bytes: Uint8Array;
  initMs = 0;
  private readonly init_: InitExport;
  private readonly address_: (value: number) => number | bigint;

  constructor(
    module: WebAssembly.Module,
    readonly manifest: Manifest,
    memory: WebAssembly.Memory,
    memory64: boolean,
  ) {
    this.bytes = new Uint8Array(memory.buffer);
    this.address_ = addressIn(memory64);
    this.init_ = new WebAssembly.Instance(module, { env: { memory } }).exports['init'] as InitExport;
  }

  /** Writes the constants and runs the phases that wait for no weight. */
  begin(): void {
    for (const { address, base64 } of this.manifest.constants) this.bytes.set(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), kBase + address);
    for (const phase of freePhases(this.manifest)) this.init(phase);
  }

  /** Runs one phase: weights that have arrived are packed. */
  init(phase: number): void {
    const start = performance.now();
    try {
      this.init_(this.address_(kBase), this.address_(phase));
    } catch (thrown) {
      throw new KilnError('internal', `the weights could not be prepared (phase ${phase}): ${describe(thrown)}`, { cause: thrown });
    }
    this.initMs += performance.now() - start;
  }
}
