// Times any schedules of a model's kernels, as the tuner does: the compiler of bench/search/lab.cpp and the SDK's own measure().
import { clockStep, measure } from '../../js-sdk/src/compiler/measure.ts';
import { createMemory, kBase } from '../../js-sdk/src/shared/memory.ts';

const now = () => performance.now();

/** What standalone wasm asks of its host: nothing here does I/O. */
function imports(module) {
  const all = {};
  for (const { module: space, name } of WebAssembly.Module.imports(module)) (all[space] ??= {})[name] = () => 52;
  return all;
}

export class Lab {
  static async create(url) {
    const module = await WebAssembly.compileStreaming(fetch(url));
    const lab = new Lab();
    lab.exports = (await WebAssembly.instantiate(module, imports(module))).exports;
    lab.exports._initialize?.();
    return lab;
  }

  /** The kernels that have more than one schedule. `info` is of the model as this engine loads it. */
  open(file, { threads, sharedMemory, relaxedSimd, device }) {
    this.shared = sharedMemory;
    const options = { threads, shared: Number(sharedMemory), relaxedSimd: Number(relaxedSimd), memory64: 0, device };
    const text = Object.entries(options).map(([key, value]) => `${key}=${value}\n`).join('');
    const head = new Uint8Array(file, 0, 4 + new DataView(file).getUint32(0, true));
    this.given(head, (at, size) => this.given(new TextEncoder().encode(text), (to, length) => this.exports.kiln_lab_open(at, size, file.byteLength, to, length)));
    return JSON.parse(new TextDecoder().decode(this.result()));
  }

  /**
   * Least nanoseconds of the whole kernel by each schedule, which are measured interleaved; of one sample where `samples` is 1, else as the
   * tuner would. Parts stand for it, and one that is far slower than the rest is given up early, but where it is measured `whole`.
   */
  async time({ index, flops }, schedules, sampleMs, { samples = Infinity, whole = false } = {}) {
    const text = new TextEncoder().encode(schedules.join('\n'));
    const bench = (module) => this.given(text, (at, size) => this.exports.kiln_lab_bench(index, at, size, Number(whole), module));
    bench(0);
    const { bytes, share } = JSON.parse(new TextDecoder().decode(this.result()));
    bench(1);
    const memory = this.memoryOf(bytes);
    const { instance } = await WebAssembly.instantiate(this.result(), { env: { memory } });
    const runs = share.map((part, i) => ({ flops: flops * part, bench: (repeats) => instance.exports.bench(kBase, i, repeats) }));
    this.clockMs ??= clockStep(now);
    const ns = measure(runs, Math.max(sampleMs, this.clockMs * 20), samples === 1 ? -Infinity : Infinity, now, whole);
    return ns.map((each, i) => (each < 0 ? Infinity : each / share[i]));
  }

  memoryOf(bytes) {
    if (!this.memory || this.memory.buffer.byteLength < kBase + bytes) {
      this.memory = createMemory(kBase + bytes, { shared: this.shared, memory64: false });
      new Float32Array(this.memory.buffer).fill(1); // pages that nobody has written are all one
    }
    return this.memory;
  }

  given(bytes, call) {
    const at = this.exports.kiln_alloc(bytes.length);
    new Uint8Array(this.exports.memory.buffer, at, bytes.length).set(bytes);
    const answer = call(at, bytes.length);
    this.exports.kiln_free(at);
    if (answer < 0) throw new Error(new TextDecoder().decode(this.result()));
    return answer;
  }

  result() {
    return new Uint8Array(this.exports.memory.buffer, this.exports.kiln_result_data() >>> 0, this.exports.kiln_result_size()).slice();
  }
}
