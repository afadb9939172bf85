// What callers give that is not what was meant: every entry point refuses it with a KilnError that says what there is.
import { describe, expect, it, vi } from 'vitest';
import { KilnError, loadModel, Tensor, type KilnErrorCode, type LoadOptions, type Model, type ModelSource } from '../src/index.js';
import { orderInputs } from '../src/tensor.js';
import type { PortInfo } from '../src/shared/manifest.js';
import { fakeCompiler } from './support/fake_compiler.js';
import { expected, modelFile } from './support/tiny_model.js';

const compiler = fakeCompiler({ shared: false });
const load = (source: unknown = modelFile(), options: unknown = {}): Promise<Model> =>
  loadModel(source as ModelSource, options === null ? anyOf(null) : { compiler, wisdomStore: false, preferences: { worker: false }, ...(options as LoadOptions) });
const errorOf = async (work: Promise<unknown> | (() => unknown)): Promise<KilnError> => {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(KilnError);
    return thrown as KilnError;
  }
  throw new Error('nothing was thrown');
};
const refuses = async (work: Promise<unknown> | (() => unknown), code: KilnErrorCode, ...says: string[]): Promise<void> => {
  const error = await errorOf(work);
  expect(error.code, error.message).toBe(code);
  for (const text of says) expect(error.message).toContain(text);
};
const anyOf = (value: unknown): never => value as never;
const detached = (bytes: Uint8Array): Uint8Array => {
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
};

describe('the data of a tensor', () => {
  it.each<[unknown, unknown, string, string]>([
    ['float32', [[1, 2], [3, 4]], 'element 0', 'flat'],
    ['float32', ['1', '2'], 'element 0', '"1"'],
    ['float32', [1, undefined], 'element 1', 'undefined'],
    ['float32', [1, null], 'element 1', 'null'],
    ['float32', [1n], 'element 0', '1n'],
    ['float32', [true], 'element 0', 'true'],
    ['float32', new BigInt64Array(2), 'element 0', '0n'],
    ['float32', '1234', 'not "1234"', ''],
    ['float32', new ArrayBuffer(8), 'not an ArrayBuffer', ''],
    ['float32', new DataView(new ArrayBuffer(8)), 'not a DataView', ''],
    ['float32', null, 'not null', ''],
    ['float32', 7, 'not 7', ''],
    ['float32', new Set([1]), 'not a Set', ''],
    ['float16', [1.5], 'element 0', 'Uint16Array or a Float16Array'],
    ['float16', new Float32Array([1.5]), 'element 0', 'Uint16Array'],
    ['bfloat16', [1], 'element 0', 'Uint16Array'],
    ['uint8', [1, 300], 'element 1', '300'],
    ['uint8', [-1], 'element 0', '-1'],
    ['uint8', new Float32Array([0, 0.5]), 'element 1', '0.5'],
    ['int8', [128], 'element 0', '128'],
    ['int32', [3e9], 'element 0', '3000000000'],
    ['int32', [NaN], 'element 0', 'NaN'],
    ['int32', [Infinity], 'element 0', 'Infinity'],
    ['int32', new Uint32Array([2 ** 31]), 'element 0', '2147483648'],
    ['int64', [2 ** 53], 'element 0', 'BigInt'],
    ['int64', [1.5], 'element 0', '1.5'],
    ['int16', [2 ** 15], 'element 0', '32768'],
    ['uint16', [-1], 'element 0', '-1'],
    ['uint32', [2 ** 32], 'element 0', '4294967296'],
    ['uint64', [-1], 'element 0', '-1'],
    ['uint64', [2n ** 64n], 'element 0', '18446744073709551616n'],
    ['uint64', [2 ** 53], 'element 0', 'BigInt'],
    ['int64', [2n ** 63n], 'element 0', '9223372036854775808n'],
    ['int64', new BigUint64Array([2n ** 63n]), 'element 0', '9223372036854775808n'],
    ['bool', [2], 'element 0', '2'],
    ['float64', [1], '"float64" is no tensor type', 'float32'],
    ['Float32', [1], 'did you mean "float32"', ''],
    ['toString', [1], 'is no tensor type', ''],
    [null, [1], 'null is no tensor type', ''],
  ])('%s, case %#, is refused', async (type, data, ...says) => {
    await refuses(() => new Tensor(anyOf(type), anyOf(data)), 'bad-input', ...says);
  });

  it('is kept to the last bit where the type has it', () => {
    expect(new Tensor('float32', [NaN, -0, Infinity, 1e39]).data).toEqual(new Float32Array([NaN, -0, Infinity, Infinity]));
    expect(new Tensor('float32', new Float64Array([0.1])).data).toEqual(new Float32Array([0.1]));
    expect(new Tensor('float16', new Uint16Array([0x3e00])).data).toEqual(new Uint16Array([0x3e00]));
    expect(new Tensor('uint8', [0, 255]).data).toEqual(new Uint8Array([0, 255]));
    expect(new Tensor('uint8', new Uint8ClampedArray([255])).data).toEqual(new Uint8Array([255]));
    expect(new Tensor('int8', [-128, 127]).data).toEqual(new Int8Array([-128, 127]));
    expect(new Tensor('int32', [-(2 ** 31), 2 ** 31 - 1]).data).toEqual(new Int32Array([-(2 ** 31), 2 ** 31 - 1]));
    expect(new Tensor('int64', [2 ** 53 - 1]).data).toEqual(new BigInt64Array([2n ** 53n - 1n]));
    expect(new Tensor('int64', [-(2n ** 63n)]).data).toEqual(new BigInt64Array([-(2n ** 63n)]));
    expect(new Tensor('bool', [true, 0, 1] as number[]).data).toEqual(new Uint8Array([1, 0, 1]));
    const { Float16Array: Halves } = globalThis as unknown as { Float16Array?: new (values: number[]) => ArrayBufferView & { length: number } };
    if (Halves) expect(new Tensor('float16', anyOf(new Halves([1.5]))).data).toEqual(new Uint16Array([0x3e00]));
  });

  it.each([[1], ['4'], [null], [['4']], [[4.5]], [[-4]], [[NaN]], [[2 ** 53]], [[2 ** 31, 2 ** 31, 4]], [[undefined]]])('has no shape %j', async (shape) => {
    await refuses(() => new Tensor('float32', [1, 2, 3, 4], anyOf(shape)), 'bad-input', 'shape');
  });

  it('has a shape of its own', () => {
    const shape = [2];
    const tensor = new Tensor('float32', Object.freeze([1, 2]), shape);
    shape[0] = 9;
    expect(tensor.shape).toEqual([2]);
    expect(new Tensor('float32', [1, 2], anyOf(new Int32Array([1, 2]))).shape).toEqual([1, 2]);
  });
});

describe('the inputs of a run', () => {
  const x = (): Tensor => new Tensor('float32', [1, 2, 3, 4], [1, 4]);
  it.each<[unknown, string]>([
    [null, 'not null'],
    [undefined, 'not undefined'],
    [5, 'not 5'],
    ['x', 'not "x"'],
    [[x()], 'not an array'],
    [x(), 'not a Tensor'],
    [new Map([['x', x()]]), 'is missing'],
    [{ x: null }, 'not null'],
    [{ x: new Float32Array(4) }, "new Tensor('float32', data, [1, 4]), not a Float32Array"],
    [{ x: { type: 'float32', data: new Float32Array(4), dims: [1, 4] } }, 'not { type, data, dims }'],
    [{ x: { type: 'float32', data: [1, 2, 3, 4], shape: [1, 4] } }, 'not { type, data, shape }'],
    [{ X: x() }, 'did you mean "x"'],
  ])('%j is refused', async (inputs, says) => {
    using model = await load();
    await refuses(model.run(anyOf(inputs)), 'bad-input', says);
    await refuses(model.profile(anyOf(inputs)), 'bad-input', says);
    const { out } = await model.run(Object.freeze({ x: Object.freeze(x()) }));
    expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
  });

  it('may be of another copy of this SDK, and lie anywhere', async () => {
    using model = await load();
    const shared = new Float32Array(new SharedArrayBuffer(32), 16);
    shared.set([1, 2, 3, 4]);
    for (const data of [new Float32Array([1, 2, 3, 4]), shared]) {
      const { out } = await model.run({ x: { type: 'float32', data, shape: [1, 4] } as unknown as Tensor });
      expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
    }
  });

  it('are gone when their buffer is', async () => {
    using model = await load();
    const gone = x();
    detached(gone.data as unknown as Uint8Array);
    await refuses(model.run({ x: gone }), 'bad-input', 'transferred away');
  });

  it('are copied, also of a Buffer', () => {
    const port: PortInfo = { name: 'b', dtype: 'bool', shape: [2] };
    expect(() => orderInputs([port], { b: new Tensor('bool', new Uint8Array([1, 2])) })).toThrow('2 at element 1');
    const pooled = Buffer.from([1, 1]);
    const [data] = orderInputs([port], { b: new Tensor('bool', pooled) });
    expect(data).toHaveLength(2);
  });

  it('come with options of their own', async () => {
    using model = await load();
    for (const [options, says] of [[null, 'null'], [{ sginal: 1 }, 'did you mean "signal"'], [{ signal: new AbortController() }, 'signal must be an AbortSignal']] as const) {
      await refuses(model.run({ x: x() }, anyOf(options)), 'bad-option', says);
    }
    for (const repeats of ['3', 0, NaN, 1.5, -1]) await refuses(model.profile({ x: x() }, anyOf({ repeats })), 'bad-option', 'repeats must be a whole number');
    for (const name of [5, null, 'y']) await refuses(() => model.inputTensor(anyOf(name)), 'bad-input', 'its inputs are "x"');
  });
});

describe('the options of a load', () => {
  it.each<[unknown, string]>([
    [null, 'must be an object, not null'],
    [{ thread: 2 }, 'there is no option "thread": did you mean "threads"'],
    [{ numThreads: 2 }, 'did you mean "threads"'],
    [{ xyz: 2 }, 'There are threads, tuning'],
    [{ threads: '2' }, 'threads must be \'auto\' or a whole number from 1 to 64, not "2"'],
    [{ threads: NaN }, 'not NaN'],
    [{ threads: 65 }, 'not 65'],
    [{ dims: { seq: '8' } }, 'dims.seq must be a whole number that is not negative, not "8"'],
    [{ dims: { seq: 1.5 } }, 'not 1.5'],
    [{ dims: { seq: -1 } }, 'not -1'],
    [{ dims: { seq: 2 ** 53 } }, 'not 9007199254740992'],
    [{ dims: { seq: null } }, 'not null'],
    [{ dims: { 'a\nthreads': 5 } }, 'no dimension can be called'],
    [{ dims: [8] }, 'dims must be an object, not an array'],
    [{ tuning: true }, 'tuning must be an object or false'],
    [{ tuning: { budget: 5 } }, 'did you mean "budgetMs"'],
    [{ tuning: { budgetMs: '5' } }, 'tuning.budgetMs must be a number'],
    [{ tuning: { budgetMs: Infinity } }, 'not Infinity'],
    [{ tuning: { background: 1 } }, 'tuning.background must be true or false'],
    [{ tuning: { wisdom: 5 } }, 'tuning.wisdom must be'],
    [{ preferences: { workers: false } }, 'did you mean "worker"'],
    [{ preferences: { relaxedSimd: 'no' } }, 'preferences.relaxedSimd must be true or false'],
    [{ precision: 'Fast' }, "'exact' or 'balanced' or 'fast', not \"Fast\""],
    [{ stallTimeoutMs: 0 }, 'stallTimeoutMs must be a number above 0'],
    [{ stallTimeoutMs: '100' }, 'not "100"'],
    [{ verify: 0 }, 'verify must be true or false'],
    [{ cache: 'no' }, 'cache must be true or false'],
    [{ runWhileLoading: 'yes' }, 'runWhileLoading must be'],
    [{ onProgress: {} }, 'onProgress must be a function'],
    [{ signal: {} }, 'signal must be an AbortSignal'],
    [{ wisdomStore: {} }, 'wisdomStore must be an object with load() and save()'],
    [{ compiler: 5 }, 'compiler must be'],
  ])('%j are refused', async (options, says) => {
    await refuses(load(modelFile(), options), 'bad-option', says);
  });

  it('wait as long as a timer can', async () => {
    const stop = globalThis.fetch;
    globalThis.fetch = () => new Promise((resolve) => setTimeout(() => resolve(new Response(modelFile())), 20));
    try {
      (await load('http://host/m', { stallTimeoutMs: Infinity } satisfies LoadOptions)).dispose();
    } finally {
      globalThis.fetch = stop;
    }
  });

  it('do not break a load by what they throw, nor end Node', async () => {
    const warnings: string[] = [], escaped: unknown[] = [];
    const warn = (warning: Error): void => void warnings.push(warning.message);
    const escape = (thrown: unknown): void => void escaped.push(thrown);
    const events = ['uncaughtException', 'unhandledRejection'] as const;
    const before = events.map((event) => process.listeners(event as 'uncaughtException'));
    for (const event of events) process.removeAllListeners(event).on(event, escape);
    process.on('warning', warn);
    try {
      (await load(modelFile(), { onProgress: () => { throw new Error('mine'); } })).dispose();
      (await load(modelFile(), { onProgress: (() => Promise.reject(new Error('later'))) as () => void })).dispose();
      const stages: string[] = [];
      const onProgress = ({ stage }: { stage: string }): void => {
        stages.push(stage);
        throw new Error('tuned');
      };
      using model = await load(modelFile(), { tuning: { background: true, budgetMs: 20 }, onProgress });
      await vi.waitFor(() => expect(stages).toContain('tuned'));
      expect(model.info().notes.join()).not.toContain('failed');
      await vi.waitFor(() => expect(new Set(warnings)).toEqual(new Set(['mine', 'later', 'tuned'])));
      expect(escaped).toEqual([]);
    } finally {
      process.off('warning', warn);
      events.forEach((event, i) => {
        process.removeAllListeners(event);
        for (const listener of before[i] ?? []) process.on(event as 'uncaughtException', listener);
      });
    }
  });
});

describe('the source of a load', () => {
  it.each<[string, () => unknown, string]>([
    ['nothing', () => null, 'not null'],
    ['an empty address', () => '', 'empty'],
    ['a number', () => 5, 'not 5'],
    ['an object', () => ({ url: 'x' }), 'not { url }'],
    ['an array', () => [1, 2], 'not an array'],
    ['a Response', () => new Response(modelFile()), 'response.arrayBuffer()'],
    ['a promise', () => Promise.resolve(modelFile()), 'not a Promise'],
    ['a detached buffer', () => detached(modelFile()).buffer, 'transferred away'],
    ['a view of one', () => detached(modelFile()), 'transferred away'],
    ['no address', () => 'http://[', 'is not an address'],
    ['a broken file address', () => 'file:///%E0%A4%A', 'not the address of a file'],
    ['a file of another machine', () => new URL('file://host/m.kiln'), 'not the address of a file'],
  ])('%s is refused', async (_, source, says) => {
    await refuses(load(source()), 'bad-option', says);
  });

  it('may be any bytes, and any address that fetch() takes', async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(modelFile().length));
    shared.set(modelFile());
    const data = `data:application/octet-stream;base64,${Buffer.from(modelFile()).toString('base64')}`;
    const blob = new Blob([modelFile()]);
    const sources = [shared, shared.buffer, new DataView(modelFile().buffer), Buffer.from(modelFile()), new File([blob], 'm.kiln'), data, URL.createObjectURL(blob), Object.freeze(new URL(data))];
    for (const source of sources) {
      using model = await load(source);
      const { out } = await model.run({ x: new Tensor('float32', [1, 2, 3, 4], [1, 4]) });
      expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
    }
    await refuses(load('data:,nothing'), 'bad-file');
    await refuses(load('blob:nodedata:none'), 'network');
    await refuses(load('ftp://host/m.kiln'), 'network');
  });
});

describe('what a signal ends', () => {
  const x = (): Record<string, Tensor> => ({ x: new Tensor('float32', [1, 2, 3, 4], [1, 4]) });
  const reasons: [string, () => AbortSignal, string][] = [
    ['AbortError', () => AbortSignal.abort(), 'aborted by its signal'],
    ['TimeoutError', () => AbortSignal.abort(new DOMException('late', 'TimeoutError')), 'longer than its signal allows'],
    ['AbortError', () => AbortSignal.abort(new RangeError('left')), 'aborted by its signal'],
    ['AbortError', () => AbortSignal.abort('left'), 'aborted by its signal'],
  ];
  it.each(reasons)('is called %s', async (name, make, says) => {
    using model = await load();
    const signal = make();
    for (const work of [model.run(x(), { signal }), model.profile(x(), { signal }), load(modelFile(), { signal }), load(modelFile(), { signal, tuning: { background: true } })]) {
      const error = await errorOf(work);
      expect(error).toMatchObject({ name, code: 'aborted' });
      expect(error.message).toContain(says);
      expect(error.cause).toBe(signal.reason);
    }
  });

  it('is called so in the middle of it', async () => {
    const real = globalThis.fetch;
    globalThis.fetch = (_, init) => new Promise((_resolve, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason as Error)));
    try {
      expect(await errorOf(load('http://host/m', { signal: AbortSignal.timeout(20) }))).toMatchObject({ name: 'TimeoutError', code: 'aborted' });
      expect(await errorOf(load(modelFile(), { signal: AbortSignal.timeout(20), tuning: { wisdom: 'http://host/w' } }))).toMatchObject({ name: 'TimeoutError', code: 'aborted' });
    } finally {
      globalThis.fetch = real;
    }
    expect(new KilnError('network', 'm', { cause: new DOMException('late', 'TimeoutError') }).name).toBe('KilnError');
  });
});
