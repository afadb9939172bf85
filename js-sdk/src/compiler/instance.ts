// The compiler's instance: a standalone WebAssembly module with the C exports of runtime/web_api.h.
import { asKilnError, KilnError, type KilnErrorCode } from '../shared/errors.js';
import { kPage, patiently } from '../shared/memory.js';
import type { CompilerCode } from '../shared/messages.js';
import { wisdomLines } from '../shared/wisdom.js';

interface Exports {
  memory: WebAssembly.Memory;
  _initialize?(): void;
  kiln_alloc(bytes: number): number;
  kiln_free(at: number): void;
  kiln_head_layout(bytes: number, size: number): number;
  kiln_open(head: number, size: number, fileBytes: number, options: number, optionsSize: number): number;
  kiln_digests(): number;
  kiln_pieces?(skeleton: number, size: number, fileBytes: number): number;
  kiln_wisdom(lines: number, size: number): number;
  kiln_tune_next(max: number): number;
  kiln_tune_describe(): number;
  kiln_tune_report(index: number, nanoseconds: number): number;
  kiln_lay_out(fileAt: number, landed: number): number;
  kiln_emit(): number;
  kiln_manifest(): number;
  kiln_wisdom_export(): number;
  kiln_dump(stage: number, size: number): number;
  kiln_result_data(): number;
  kiln_result_size(): number;
}

/** Why it ends itself: it has no word for memory that was refused, which is tried again here. */
function gaveUp(memory: WebAssembly.Memory, cause?: unknown): KilnError {
  try {
    memory.grow(memory.buffer.byteLength / kPage);
    return new KilnError('internal', 'the compiler gave up; report this model', { cause });
  } catch (thrown) {
    return new KilnError('out-of-memory', `the compiler needs more than ${memory.buffer.byteLength / 2 ** 20} MB and the engine refuses; dispose of other models or close other tabs`, { cause: thrown });
  }
}

/** What standalone wasm asks of its host: nothing here does I/O, so everything but leaving answers "not supported". */
function systemImports(module: WebAssembly.Module, gaveUp: () => KilnError): WebAssembly.Imports {
  const kNoSys = 52;
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
  for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') throw new KilnError('internal', `the compiler asks for ${kind} ${space}.${name}`);
    const leaves = name === 'proc_exit' || name === 'abort';
    (imports[space] ??= {})[name] = leaves
      ? () => {
          throw gaveUp();
        }
      : () => (name.startsWith('emscripten_notify') ? 0 : kNoSys);
  }
  return imports;
}

const exportsOf = ({ exports }: WebAssembly.Instance): Exports => exports as unknown as Exports;

/** A trap, too, has no word of why. */
function explained(exports: Exports): Exports {
  const guard = <T extends unknown[]>(call: (...args: T) => number) => (...args: T): number => {
    try {
      return call(...args);
    } catch (thrown) {
      throw thrown instanceof KilnError ? thrown : gaveUp(exports.memory, thrown);
    }
  };
  const calls = Object.entries(exports).map(([name, value]) => [name, typeof value === 'function' ? guard(value as (...args: unknown[]) => number) : (value as unknown)]);
  return Object.fromEntries(calls) as Exports;
}

/** This compiler lacks what the model needs, and the full one may have it. */
export class Incomplete extends KilnError {
  constructor(message: string) {
    super('unsupported-operator', `${message}: give compiler-full.wasm in place of compiler.wasm`, { where: 'compiler' });
  }
}

export class Compiler {
  private constructor(private readonly exports_: Exports) {}

  static async create(code: CompilerCode): Promise<Compiler> {
    try {
      const module = code instanceof WebAssembly.Module ? code : await WebAssembly.compile(code);
      const instance: WebAssembly.Instance = await patiently(() => WebAssembly.instantiate(module, systemImports(module, () => gaveUp(exportsOf(instance).memory))));
      const exports = exportsOf(instance);
      exports._initialize?.();
      return new Compiler(explained(exports));
    } catch (thrown) {
      throw asKilnError(thrown, thrown instanceof RangeError ? 'out-of-memory' : 'compile', 'the compiler could not be started');
    }
  }

  headLayout(bytes: Uint8Array): { headBytes: number; weightsBegin: number } {
    this.given(bytes, (at, size) => this.exports_.kiln_head_layout(at, size));
    return this.json();
  }

  open(head: Uint8Array, fileBytes: number, options: string): { weightsBytes: number; fileWeightsBytes: number; arenaBytes: number; kernels: number } {
    const text = new TextEncoder().encode(options);
    this.given(head, (at, size) => this.given(text, (optionsAt, optionsSize) => this.exports_.kiln_open(at, size, fileBytes, optionsAt, optionsSize)));
    return this.json();
  }

  /** Where the bytes of an .onnx file's weights are (runtime/web_api.h). */
  pieces(skeleton: Uint8Array, fileBytes: number): Uint8Array<ArrayBuffer> {
    const exports = this.exports_;
    if (!exports.kiln_pieces) throw new Incomplete('this is an .onnx file, which the given compiler does not read');
    this.given(skeleton, (at, size) => exports.kiln_pieces?.(at, size, fileBytes) ?? -1);
    return this.result();
  }

  /** The SHA-256 of each block of the file's weights, one after the other. */
  digests(): Uint8Array<ArrayBuffer> {
    this.checked(this.exports_.kiln_digests());
    return this.result();
  }

  wisdom(json: string): void {
    this.given(new TextEncoder().encode(wisdomLines(json)), (at, size) => this.exports_.kiln_wisdom(at, size));
  }

  /** A module that measures the next candidates, or null when nothing is left. */
  tuneNext(max: number): { count: number; module: Uint8Array<ArrayBuffer> } | null {
    const count = this.checked(this.exports_.kiln_tune_next(max));
    return count > 0 ? { count, module: this.result() } : null;
  }

  tuneDescribe(): { bytes: number; duel: boolean; candidates: { spec: string; schedule: string; flops: number }[] } {
    this.checked(this.exports_.kiln_tune_describe());
    return this.json();
  }

  tuneReport(index: number, nanoseconds: number): void {
    this.checked(this.exports_.kiln_tune_report(index, nanoseconds));
  }

  /** Chooses schedules and lays the model out. Returns the module that packs weights. */
  layOut(fileAt: number, landed: number): Uint8Array<ArrayBuffer> {
    this.checked(this.exports_.kiln_lay_out(fileAt, landed));
    return this.result();
  }

  /** Returns the module that runs the model. */
  emit(): Uint8Array<ArrayBuffer> {
    this.checked(this.exports_.kiln_emit());
    return this.result();
  }

  manifest(): string {
    this.checked(this.exports_.kiln_manifest());
    return this.text();
  }

  wisdomExport(): string {
    this.checked(this.exports_.kiln_wisdom_export());
    return this.text();
  }

  /** Calls an export with bytes that are copied into the compiler's memory. */
  private given(bytes: Uint8Array, call: (at: number, size: number) => number): number {
    const at = this.exports_.kiln_alloc(bytes.length);
    if (at === 0) throw new KilnError('out-of-memory', `the compiler has no room for ${bytes.length} bytes`);
    try {
      new Uint8Array(this.exports_.memory.buffer, at, bytes.length).set(bytes);
      return this.checked(call(at, bytes.length));
    } finally {
      this.exports_.kiln_free(at);
    }
  }

  private checked(answer: number): number {
    if (answer >= 0) return answer;
    const error = this.json<{ code: KilnErrorCode | 'incomplete'; message: string; where?: string }>();
    if (error.code === 'incomplete') throw new Incomplete(error.message);
    throw new KilnError(error.code, error.message, { where: error.where ?? '' });
  }

  private result(): Uint8Array<ArrayBuffer> {
    const at = this.exports_.kiln_result_data() >>> 0;
    return new Uint8Array(this.exports_.memory.buffer, at, this.exports_.kiln_result_size()).slice();
  }

  private text(): string {
    return new TextDecoder().decode(this.result());
  }

  private json<T>(): T {
    return JSON.parse(this.text()) as T;
  }
}
