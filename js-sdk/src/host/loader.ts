import { describe, KilnError } from '../shared/errors.js';
import { freePhases, type Manifest } from '../shared/manifest.js';
import { addressIn, kBase, kControlLoadStatus, type InitExport } from '../shared/memory.js';
import { WeightWriter } from './weights.js';

/** Fills a model's memory while the compiler still emits the module that will run there. A separate module packs the weights. */
export class Loader {
  initMs = 0;
  private readonly bytes_: Uint8Array;
  private readonly status_: Int32Array;
  private readonly init_: InitExport;
  private readonly address_: (value: number) => number | bigint;

  constructor(
    module: WebAssembly.Module,
    private readonly manifest_: Manifest,
    memory: WebAssembly.Memory,
    memory64: boolean,
  ) {
    this.bytes_ = new Uint8Array(memory.buffer);
    this.status_ = new Int32Array(memory.buffer, kBase + manifest_.memory.control + kControlLoadStatus, 1);
    this.address_ = addressIn(memory64);
    this.init_ = new WebAssembly.Instance(module, { env: { memory } }).exports['init'] as InitExport;
  }

  /** Writes the constants and runs the phases that wait for no weight. */
  begin(): void {
    for (const { address, base64 } of this.manifest_.constants) this.bytes_.set(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)), kBase + address);
    for (const phase of freePhases(this.manifest_)) this.init(phase);
  }

  /** Takes the weights of the file and packs them as they come. Reports how many transfers are complete. */
  writer(reached: (transfers: number) => void): WeightWriter {
    return new WeightWriter(this.manifest_.transfers, this.bytes_, kBase, ({ phase }, complete) => {
      if (phase >= 0) this.init(phase);
      reached(complete);
    });
  }

  private init(phase: number): void {
    const start = performance.now();
    try {
      this.init_(this.address_(kBase), this.address_(phase));
    } catch (thrown) {
      throw new KilnError('internal', `the weights could not be prepared (phase ${phase}): ${describe(thrown)}`, { cause: thrown });
    }
    if (this.status_[0] !== 0) throw new KilnError('bad-file', 'a weight holds an index that is outside its table');
    this.initMs += performance.now() - start;
  }
}
