// The whole SDK in one thread against a fake compiler: load, run, queue, abort, dispose, and what bad input gets.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { build } from 'esbuild';
import { describe, expect, it, vi } from 'vitest';
import { KilnError, loadModel, Tensor, type LoadOptions, type Model, type ModelSource, type LoadProgress } from '../src/index.js';
import type { ModelCore } from '../src/main/core.js';
import { asKilnError } from '../src/shared/errors.js';
import { fakeCompiler } from './support/fake_compiler.js';
import { expected, kBadIndex, kTrapFirst, modelFile } from './support/tiny_model.js';

const compiler = fakeCompiler({ shared: false });
const load = (source: ModelSource = modelFile(), options: LoadOptions = {}): Promise<Model> =>
  loadModel(source, { compiler, wisdomStore: false, preferences: { worker: false }, ...options });
const vector = (...x: number[]): Record<string, Tensor> => ({ x: new Tensor('float32', x, [1, 4]) });
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: unknown) => (error instanceof KilnError ? error.code : String(error)),
  );
type Respond = (url: string, init?: RequestInit) => Response | Promise<Response>;
const server = (respond: Respond): (() => void) => {
  const real = globalThis.fetch;
  globalThis.fetch = (url, init) => Promise.resolve(respond(url as string, init));
  return () => (globalThis.fetch = real);
};

describe('a loaded model', () => {
  it('runs, and says what it is', async () => {
    const events: LoadProgress[] = [];
    using model = await load(modelFile(), { onProgress: (event) => events.push(event), tuning: { budgetMs: 20 } });
    const { out } = await model.run(vector(1, 2, 3, 4));
    expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
    expect(out?.shape).toEqual([1, 4]);
    expect(model.info()).toMatchObject({ threads: 1, workers: false, steps: 2, kernels: [{ origin: 'measured' }] });
    expect(model.info().missing.map((m) => m.feature)).toContain('workers');
    expect(model.memory()).toMatchObject({ weights: 128, arena: 256, total: 2048, compilerFreed: true });
    expect(new Set(events.map((event) => event.stage))).toEqual(new Set(['download', 'compile', 'tune', 'ready']));
    expect(JSON.parse(model.exportWisdom())).toMatchObject({ 'wasmkiln-wisdom': 1, entries: [{ ns: 5 }] });
    const profile = await model.profile(vector(1, 2, 3, 4), { repeats: 1 });
    expect(profile.map(({ label }) => label)).toEqual(['mul', 'add']);
    expect(profile.every(({ ms }) => ms >= 0)).toBe(true);
  });

  it('fetches the compiler once, and says what it got in its place', async () => {
    let fetched = 0;
    let answer: () => Response = () => new Response(compiler, { headers: { 'content-type': 'application/wasm' } });
    const stop = server(() => (fetched++, answer()));
    try {
      (await load(modelFile(), { compiler: 'http://host/compiler.wasm' })).dispose();
      expect(fetched).toBe(1);
      answer = () => new Response('<!doctype html>', { headers: { 'content-type': 'text/html; charset=utf-8' } });
      await expect(load(modelFile(), { compiler: 'http://host/compiler.wasm' })).rejects.toMatchObject({ code: 'network', message: expect.stringContaining('is a page: compiler.wasm') as string });
      answer = () => { throw new TypeError('gone'); };
      await expect(load(modelFile(), { compiler: 'http://host/compiler.wasm' })).rejects.toMatchObject({ code: 'network', message: expect.stringContaining('compiler.wasm cannot be fetched: TypeError: gone') as string });
    } finally {
      stop();
    }
  });

  it('fetches the full compiler when the plain one lacks something, and reads the file once', async () => {
    const plain = fakeCompiler({ shared: false, incomplete: true });
    const fetched: string[] = [];
    const bodies: (BodyInit | null)[] = [plain, compiler];
    const stop = server((url) => {
      fetched.push(new URL(url).pathname);
      return url.endsWith('.wasm') ? new Response(bodies.shift(), { headers: { 'content-type': 'application/wasm' } }) : new Response(modelFile());
    });
    try {
      using model = await load('http://host/model.kiln', { compiler: 'http://host/c.wasm', tuning: { budgetMs: 20, wisdom: { 'wasmkiln-wisdom': 1, entries: [] } } });
      const { out } = await model.run(vector(1, 2, 3, 4));
      expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
      expect(fetched.sort()).toEqual(['/c.wasm', '/c.wasm', '/model.kiln']);
      expect(model.info().kernels).toMatchObject([{ origin: 'measured' }]);
    } finally {
      stop();
    }
  });

  it('says so when the only compiler there is lacks something, or when there is no full one', async () => {
    const plain = fakeCompiler({ shared: false, incomplete: true });
    await expect(load(modelFile(), { compiler: plain })).rejects.toMatchObject({ code: 'unsupported-operator', where: 'compiler', message: 'the model has the operator aten.sort.default: give compiler-full.wasm in place of compiler.wasm' });
    let fetched = 0;
    const stop = server(() => (fetched++ === 0 ? new Response(plain) : new Response('not found', { status: 404 })));
    try {
      await expect(load(modelFile(), { compiler: 'http://host/c.wasm' })).rejects.toMatchObject({ code: 'network', message: expect.stringContaining('answered 404') as string });
      expect(fetched).toBe(2);
    } finally {
      stop();
    }
  });

  it('says which policy forbids WebAssembly', () => {
    const thrown = new WebAssembly.CompileError("WebAssembly.instantiate(): violates the following Content Security policy directive because 'unsafe-eval' is not an allowed source");
    expect(asKilnError(thrown, 'internal', 'a worker')).toMatchObject({ code: 'unsupported-environment', message: expect.stringContaining('wasm-unsafe-eval') as string });
    expect(asKilnError(new WebAssembly.CompileError('bad magic'), 'compile', 'the compiler')).toMatchObject({ code: 'compile' });
  });

  it('is refused at once where nothing may be compiled', async () => {
    const entry = new URL('../src/index.ts', import.meta.url).pathname;
    const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, format: 'iife', globalName: 'sdk', logLevel: 'silent', define: { __KILN_WORKER__: '"worker.js"', __KILN_DIGEST__: '""' }, external: ['../roles.js'] });
    const script = `${outputFiles[0]?.text ?? ''}; sdk.loadModel(new ArrayBuffer(8)).then(() => 'loaded', ({ name, code, message }) => ({ name, code, message }))`;
    const answer: unknown = await runInNewContext(script, { URL, performance, setTimeout }, { contextCodeGeneration: { wasm: false } });
    expect(answer).toEqual({ name: 'KilnError', code: 'unsupported-environment', message: expect.stringContaining('does not let WebAssembly be compiled') as string });
  });

  it('loads bytes, buffers, blobs, paths and URLs', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kiln-'));
    const path = join(folder, 'a model.kiln');
    await writeFile(path, modelFile());
    const stop = server(() => new Response(modelFile()));
    try {
      const sources = [modelFile(), modelFile().buffer, new Blob([modelFile()]), path, pathToFileURL(path), 'http://host/model.kiln', new Request('http://host/model.kiln')];
      for (const source of sources) {
        using model = await load(source);
        const { out } = await model.run(vector(4, 3, 2, 1));
        expect(Array.from(out?.data as Float32Array)).toEqual(expected([4, 3, 2, 1]));
      }
    } finally {
      stop();
      await rm(folder, { recursive: true });
    }
  });

  it('takes chunks of any size', async () => {
    for (const size of [1, 7, 64, 129]) {
      const file = modelFile();
      const chunks = Array.from({ length: Math.ceil(file.length / size) }, (_, i) => file.slice(i * size, (i + 1) * size));
      const stream = new ReadableStream<Uint8Array>({
        start: (control) => {
          for (const chunk of chunks) control.enqueue(chunk);
          control.close();
        },
      });
      const stop = server(() => new Response(stream));
      using model = await load('http://host/m').finally(stop);
      const { out } = await model.run(vector(1, 1, 1, 1));
      expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 1, 1, 1]));
    }
  });

  it('queues runs in order and copies inputs at the call', async () => {
    using model = await load();
    const order: number[] = [];
    const data = new Float32Array(4);
    await Promise.all(
      [1, 2, 3].map(async (k) => {
        data.fill(k);
        const { out } = await model.run({ x: new Tensor('float32', data, [1, 4]) });
        order.push(k);
        expect(Array.from(out?.data as Float32Array)).toEqual(expected([k, k, k, k]));
      }),
    );
    expect(order).toEqual([1, 2, 3]);
  });

  it('lends tensors for its inputs', async () => {
    using model = await load();
    const x = model.inputTensor('x');
    expect(model.inputTensor('x')).toBe(x);
    expect(() => model.inputTensor('y')).toThrow('no input "y"');
    for (const last of [4, 8]) {
      (x.data as Float32Array).set([1, 2, 3, last]);
      const { out } = await model.run({ x });
      expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, last]));
    }
    model.dispose();
    expect(() => model.inputTensor('x')).toThrow('disposed');
  });

  it('drops a waiting run that is aborted, and stays usable', async () => {
    using model = await load();
    const control = new AbortController();
    const first = model.run(vector(1, 1, 1, 1));
    const second = model.run(vector(2, 2, 2, 2), { signal: control.signal });
    control.abort();
    expect(await codeOf(second)).toBe('aborted');
    expect(await codeOf(first)).toBe('no error');
    expect(await codeOf(model.run(vector(1, 1, 1, 1), { signal: AbortSignal.abort() }))).toBe('aborted');
    expect(await codeOf(model.run(vector(3, 3, 3, 3)))).toBe('no error');
  });

  it('refuses wrong inputs by name, type, shape and value, and stays usable', async () => {
    using model = await load();
    const four = (): Tensor => new Tensor('float32', [1, 2, 3, 4], [1, 4]);
    for (const [inputs, says] of [
      [{}, 'missing'],
      [{ y: four() }, 'no input "y"'],
      [{ x: new Tensor('int32', [1, 2, 3, 4], [1, 4]) }, 'not int32'],
      [{ x: new Tensor('float32', [1, 2, 3, 4], [4]) }, 'float32[1, 4], not float32[4]'],
    ] as [Record<string, Tensor>, string][]) {
      await expect(model.run(inputs)).rejects.toMatchObject({ code: 'bad-input', message: expect.stringContaining(says) as string });
    }
    expect(await codeOf(model.run(vector(kBadIndex, 0, 0, 0)))).toBe('bad-input');
    expect(await codeOf(model.run({ x: four() }))).toBe('no error');
  });

  it('ends for good when it crashes or is disposed of', async () => {
    const model = await load();
    expect(await codeOf(model.run(vector(kTrapFirst, 0, 0, 0)))).toBe('internal');
    expect(await codeOf(model.run(vector(1, 1, 1, 1)))).toBe('internal');
    const other = await load();
    const pending = other.run(vector(1, 1, 1, 1));
    other.dispose();
    other.dispose();
    expect(await codeOf(pending)).toBe('disposed');
    expect(await codeOf(other.run(vector(1, 1, 1, 1)))).toBe('disposed');
  });
});

describe('a model that runs while it loads', () => {
  /** A download that brings the file in two parts, the second when it is asked to go on. */
  const inParts = (second: Uint8Array = modelFile()): { source: string; goOn: () => void; fail: () => void; stop: () => void } => {
    let control: ReadableStreamDefaultController<Uint8Array>;
    const firstPart = 150; // all of the first weight, which waits in the arena until it is packed
    const stream = new ReadableStream<Uint8Array>({ start: (c) => (control = c).enqueue(second.slice(0, firstPart)) });
    const stop = server(() => new Response(stream));
    const goOn = (): void => {
      control.enqueue(second.slice(firstPart));
      control.close();
    };
    return { source: 'http://host/m', goOn, fail: () => control.error(new Error('reset')), stop };
  };
  const settled = async (work: Promise<unknown>): Promise<boolean> => {
    let done = false;
    work.then(() => (done = true), () => (done = true));
    await new Promise((resolve) => setTimeout(resolve, 30));
    return done;
  };

  it('answers when the last weight has come', async () => {
    const { source, goOn, stop } = inParts();
    using model = await load(source, { runWhileLoading: true }).finally(stop);
    const first = model.run(vector(1, 2, 3, 4)), second = model.run(vector(4, 3, 2, 1));
    expect(await settled(first)).toBe(false);
    expect(await settled(model.loaded)).toBe(false);
    expect(model.info()).toMatchObject({ downloadedBytes: 0, phases: [], steps: 2 });
    goOn();
    expect(Array.from((await first).out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
    expect(Array.from((await second).out?.data as Float32Array)).toEqual(expected([4, 3, 2, 1]));
    await model.loaded;
    expect(model.info().downloadedBytes).toBe(modelFile().length);
    expect(model.info().timings.totalMs).toBeGreaterThan(0);
    expect(await codeOf(model.run(vector(kBadIndex, 0, 0, 0)))).toBe('bad-input');
    expect(await codeOf(model.run(vector(1, 2, 3, 4)))).toBe('no error');
  });

  it('profiles when all weights are there', async () => {
    const { source, goOn, stop } = inParts();
    using model = await load(source, { runWhileLoading: true }).finally(stop);
    const profile = model.profile(vector(1, 2, 3, 4), { repeats: 1 });
    expect(await settled(profile)).toBe(false);
    goOn();
    expect(await profile).toHaveLength(2);
  });

  it('tells every run why the rest does not come', async () => {
    const flipped = modelFile().map((byte, i) => (i === 195 ? byte ^ 4 : byte));
    for (const [file, end, code] of [
      [modelFile(), 'fail', 'network'],
      [modelFile().slice(0, 200), 'goOn', 'bad-file'],
      [flipped, 'goOn', 'bad-file'],
    ] as const) {
      const parts = inParts(file);
      const model = await load(parts.source, { runWhileLoading: true }).finally(parts.stop);
      const runs = [model.run(vector(1, 2, 3, 4)), model.run(vector(1, 2, 3, 4))].map(codeOf);
      parts[end]();
      expect(await Promise.all(runs)).toEqual([code, code]);
      expect(await codeOf(model.loaded)).toBe(code);
      expect(await codeOf(model.run(vector(1, 2, 3, 4)))).toBe(code);
    }
  });

  it('says of a bad index what it says otherwise, and stays usable', async () => {
    const { source, goOn, stop } = inParts();
    using model = await load(source, { runWhileLoading: true }).finally(stop);
    const bad = model.run(vector(kBadIndex, 0, 0, 0));
    expect(await settled(bad)).toBe(false); // weights may be missing that would be another error
    goOn();
    expect(await codeOf(bad)).toBe('bad-input');
    expect(Array.from((await model.run(vector(1, 2, 3, 4))).out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
  });

  it('ends when its load is aborted, or it is disposed of', async () => {
    for (const [end, code] of [['abort', 'aborted'], ['dispose', 'disposed']] as const) {
      const { source, stop } = inParts();
      const control = new AbortController();
      const model = await load(source, { runWhileLoading: true, signal: control.signal }).finally(stop);
      const run = codeOf(model.run(vector(1, 2, 3, 4)));
      if (end === 'abort') control.abort();
      else model.dispose();
      expect(await run).toBe(code);
      expect(await codeOf(model.loaded)).toBe(code);
      expect(await codeOf(model.run(vector(1, 2, 3, 4)))).toBe(code);
    }
    const control = new AbortController();
    using model = await load(modelFile(), { signal: control.signal });
    control.abort(); // too late
    expect(await codeOf(model.run(vector(1, 2, 3, 4)))).toBe('no error');
  });
});

describe('a download', () => {
  const file = modelFile();
  const kMade = 'Tue, 01 Jan 2030 00:00:00 GMT';
  /** Some of the file's bytes, after which the connection breaks, or (`ends`) is closed as if that were all. */
  const part = (from: number, to: number, ends = false): ReadableStream<Uint8Array> => {
    let given = false;
    return new ReadableStream({
      pull: (c) => {
        if (!given && to > from) c.enqueue(file.slice(from, to));
        else if (ends || to === file.length) c.close();
        else c.error(new TypeError('reset'));
        given = true;
      },
    });
  };
  type Answer = (headers: Headers) => Response | Promise<Response>;
  const whole = (to: number, headers: Record<string, string> = {}, ends = false): Answer => () => new Response(part(0, to, ends), { headers: { etag: '"1"', 'content-length': `${file.length}`, ...headers } });
  const rest = (to = file.length, headers: Record<string, string> = {}): Answer => (asked) => {
    const from = Number(/^bytes=(\d+)-$/.exec(asked.get('range') ?? '')?.[1]);
    return new Response(part(from, to), { status: 206, headers: { etag: '"1"', 'content-range': `bytes ${from}-${file.length - 1}/${file.length}`, ...headers } });
  };
  const offline: Answer = () => Promise.reject(new TypeError('offline'));
  const busy: Answer = () => new Response('', { status: 503 });

  /** Loads what is answered one after the other; the headers of each request. */
  const attempt = async (answers: Answer[], then: (work: Promise<Model>) => Promise<unknown>): Promise<Headers[]> => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    const hurry = setInterval(() => vi.advanceTimersByTime(500), 1); // the waits between tries
    const asked: Headers[] = [];
    const stop = server((_, init) => {
      const headers = new Headers(init?.headers);
      asked.push(headers);
      return (answers[asked.length - 1] ?? answers.at(-1) ?? offline)(headers);
    });
    try {
      await then(load('http://host/m'));
    } finally {
      stop();
      clearInterval(hurry);
      vi.useRealTimers();
    }
    return asked;
  };
  const isWhole = async (work: Promise<Model>): Promise<void> => {
    using model = await work;
    const { out } = await model.run(vector(1, 2, 3, 4));
    expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
    expect(model.info().downloadedBytes).toBe(file.length);
  };

  it('goes on where it broke off', async () => {
    const [first, second, third] = await attempt([whole(50), rest(150), rest()], isWhole);
    expect(first?.get('range')).toBe(null);
    expect([second?.get('range'), second?.get('if-range')]).toEqual(['bytes=50-', '"1"']);
    expect(third?.get('range')).toBe('bytes=150-');
  });

  it('begins again with what was lost in a slab', async () => {
    const broken = (): Response => {
      const stream = new ReadableStream({ type: 'bytes', start: (c) => c.enqueue(file.slice(0, 50)), pull: (c) => c.error(new TypeError('reset')) });
      return new Response(stream, { headers: { etag: '"1"' } });
    };
    const [, second] = await attempt([broken, rest()], isWhole);
    expect(second?.get('range')).toBe('bytes=0-');
  });

  it('goes on where it ended too soon', async () => {
    expect(await attempt([whole(150, {}, true), rest()], isWhole)).toHaveLength(2);
  });

  it('waits out a server that is busy, and a connection that is gone', async () => {
    expect(await attempt([whole(150), offline, busy, rest()], isWhole)).toHaveLength(4);
  });

  it('passes over what comes again from a server that knows no ranges', async () => {
    await attempt([whole(150), whole(file.length)], isWhole);
    const dated = { etag: '', 'last-modified': kMade };
    const [, second] = await attempt([whole(150, dated), whole(file.length, dated)], isWhole);
    expect(second?.get('if-range')).toBe(kMade);
  });

  it('asks for no range of bytes that the server packs', async () => {
    const packed = { etag: 'W/"1"', 'content-encoding': 'gzip' };
    const [, second] = await attempt([whole(150, packed), whole(file.length, packed)], isWhole);
    expect(second?.get('range')).toBe(null);
  });

  it('gives up after six tries', async () => {
    const refused = (work: Promise<Model>): Promise<void> => expect(work).rejects.toMatchObject({ code: 'network', message: expect.stringMatching(/broke off after 150 bytes, and 6 tries to go on failed \(.*503/) as string });
    expect(await attempt([whole(150), busy], refused)).toHaveLength(7);
    const trickle = (work: Promise<Model>): Promise<void> => expect(work).rejects.toMatchObject({ code: 'network' });
    expect(await attempt([whole(10), ...[20, 30, 40, 50, 60, 70, 80, 90].map((to) => rest(to))], trickle)).toHaveLength(7);
  });

  it.each([
    ['another file under the same address', rest(file.length, { etag: '"2"' }), 'has changed'],
    ['all of another file', whole(file.length, { etag: '"2"' }), 'has changed'],
    ['a file that is shorter now', (): Response => new Response('', { status: 416 }), 'has changed'],
    ['another range', rest(file.length, { 'content-range': 'bytes 0-1/208' }), 'has changed'],
    ['a file that is gone', (): Response => new Response('', { status: 404 }), '404'],
  ] as [string, Answer, string][])('notices %s', async (_, answer, says) => {
    const refused = (work: Promise<Model>): Promise<void> => expect(work).rejects.toMatchObject({ code: 'network', message: expect.stringContaining(says) as string });
    expect(await attempt([whole(150), answer], refused)).toHaveLength(2);
  });

  it('does not go on when nothing tells whether the file is the same', async () => {
    const refused = (work: Promise<Model>): Promise<void> => expect(work).rejects.toMatchObject({ code: 'network', message: expect.stringContaining('broke off after 150 bytes') as string });
    expect(await attempt([whole(150, { etag: '' }), rest()], refused)).toHaveLength(1);
  });

  it('says how long it is even if the server does not', async () => {
    for (const headers of [{}, { 'content-encoding': 'gzip', 'content-length': '90' }]) {
      const events: LoadProgress[] = [];
      const stop = server(() => new Response(modelFile(), { headers }));
      (await load('http://host/m', { onProgress: (event) => events.push(event) }).finally(stop)).dispose();
      const downloads = events.filter((event) => event.stage === 'download');
      expect(downloads.at(-1)).toEqual({ stage: 'download', loadedBytes: file.length, totalBytes: file.length });
    }
  });
});

describe('tuning in the background', () => {
  const tunedModel = async (options: LoadOptions = {}): Promise<{ model: Model; tuned: Promise<void> }> => {
    let done: () => void;
    const tuned = new Promise<void>((resolve) => (done = resolve));
    const onProgress = ({ stage }: LoadProgress): void => {
      if (stage === 'tuned') done();
    };
    return { model: await load(modelFile(), { tuning: { background: true, budgetMs: 20 }, onProgress, ...options }), tuned };
  };

  it('serves by the prior first, then by what was measured', async () => {
    const saved: string[] = [];
    const wisdomStore = { load: () => Promise.resolve(null), save: (_: string, json: string) => Promise.resolve(void saved.push(json)) };
    const { model, tuned } = await tunedModel({ wisdomStore });
    expect(model.info().kernels).toMatchObject([{ schedule: 'w4', origin: 'prior' }]);
    const runs = [1, 2, 3].map((x) => model.run(vector(x, 0, 0, 0)));
    await tuned;
    runs.push(model.run(vector(4, 0, 0, 0)));
    const answers = await Promise.all(runs);
    answers.forEach(({ out }, i) => expect(Array.from(out?.data as Float32Array)).toEqual(expected([i + 1, 0, 0, 0])));
    expect(model.info()).toMatchObject({ kernels: [{ schedule: 'a', origin: 'measured' }], notes: [] });
    expect(JSON.parse(model.exportWisdom())).toMatchObject({ entries: [{ schedule: 'a' }] });
    expect(saved.length).toBeGreaterThan(0);
    const profile = await model.profile(vector(1, 2, 3, 4), { repeats: 1 });
    expect(profile).toHaveLength(2);
    model.dispose();
    expect(await codeOf(model.run(vector(1, 2, 3, 4)))).toBe('disposed');
  });

  it('stays with the module whose tensors are in use', async () => {
    const { model, tuned } = await tunedModel();
    model.inputTensor('x');
    await tuned;
    expect(model.info()).toMatchObject({ kernels: [{ schedule: 'w4', origin: 'prior' }] });
    expect(model.info().notes.join()).toContain('from the next load on');
    expect(JSON.parse(model.exportWisdom())).toMatchObject({ entries: [{ schedule: 'a' }] });
    model.dispose();
  });

  it('ends with the model, and says when it failed', async () => {
    const { model } = await tunedModel();
    model.dispose();
    expect(await codeOf(model.run(vector(1, 2, 3, 4)))).toBe('disposed');
    let reads = 0;
    const stop = server(() => (reads++ ? new Response('', { status: 500 }) : new Response(modelFile())));
    using other = await load('http://host/model.kiln', { tuning: { background: true, budgetMs: 20 } });
    while (other.info().notes.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    stop();
    expect(other.info().notes.join()).toContain('background failed');
    const { out } = await other.run(vector(4, 3, 2, 1));
    expect(Array.from(out?.data as Float32Array)).toEqual(expected([4, 3, 2, 1]));
  });

  it('stops where nothing was measured', async () => {
    let reads = 0;
    const stop = server(() => (reads++, new Response(modelFile())));
    const events: string[] = [];
    using model = await load('http://host/model.kiln', { tuning: { background: true, budgetMs: 0 }, onProgress: ({ stage }) => events.push(stage) });
    while (reads < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 50));
    stop();
    expect(events).not.toContain('tuned');
    expect(model.info()).toMatchObject({ kernels: [{ origin: 'prior' }], notes: [] });
  });
});

describe('bad files', () => {
  const flipped = (at: number): Uint8Array => modelFile().map((byte, i) => (i === at ? byte ^ 4 : byte));
  const html = new TextEncoder().encode('<!doctype html><title>not found</title>');
  it.each([
    ['empty', new Uint8Array(0), 'bytes'],
    ['another format', new Uint8Array(400), 'not a .kiln'],
    ['HTML', html, 'HTML'],
    ['ends in its graph', modelFile().slice(0, 90), 'truncated'],
    ['ends in its weights', modelFile().slice(0, 150), 'truncated'],
    ['has a flipped bit in its weights', flipped(131), 'damaged'],
  ])('%s', async (_, bytes, says) => {
    await expect(load(bytes)).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining(says) as string });
    await expect(load(new Blob([bytes as Uint8Array<ArrayBuffer>]))).rejects.toMatchObject({ code: 'bad-file' });
  });

  it('network failures have codes', async () => {
    const silence: Respond = (_url, { signal } = {}) => new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError'))));
    const cases: [Respond, string][] = [
      [silence, 'stalled'],
      [() => new Response('gone', { status: 404, statusText: 'Not Found' }), 'network'],
      [() => Promise.reject(new TypeError('failed to fetch')), 'network'],
      [() => new Response(new ReadableStream({ pull: (c) => c.error(new Error('reset')) })), 'network'],
      [() => new Response(new ReadableStream({ start: (c) => c.enqueue(modelFile().slice(0, 120)) })), 'stalled'],
    ];
    for (const [respond, code] of cases) {
      const stop = server(respond);
      expect(await codeOf(load('http://host/m', { stallTimeoutMs: code === 'stalled' ? 50 : 5000 })).finally(stop)).toBe(code);
    }
    expect(await codeOf(load('/no/such/file.kiln'))).toBe('network');
  });
});

describe('a model that nobody holds', () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const collectUntil = async (done: () => boolean, most = 100): Promise<void> => {
    for (let i = 0; i < most && !done(); i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      gc();
    }
  };

  it('is disposed of, and says so while one develops', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const before = process.env['NODE_ENV'];
    for (const [environment, warnings] of [['development', 1], ['production', 0]] as const) {
      warn.mockClear();
      process.env['NODE_ENV'] = environment;
      const made = await Promise.all(
        [1, 2].map(async (x) => {
          const model = await load();
          await model.run(vector(x, 2, 3, 4));
          if (x === 2) model.dispose();
          return { model: new WeakRef(model), ended: vi.spyOn((model as unknown as { core: ModelCore }).core, 'end') };
        }),
      );
      const { model, ended } = made[0] as (typeof made)[0];
      await collectUntil(() => ended.mock.calls.length > 0);
      expect(model.deref()).toBeUndefined();
      expect(ended).toHaveBeenCalledOnce();
      expect(warn).toHaveBeenCalledTimes(warnings);
      if (warnings) expect(warn.mock.calls[0]?.[0]).toMatch(/model of 1 MB was collected.*dispose\(\)/);
    }
    process.env['NODE_ENV'] = before;
    warn.mockRestore();
  });

  it('stays until its runs are done', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined); // they are collected then
    const stop = collectUntil(() => false, 15);
    const runs = await Promise.all([1, 2, 3].map(async (x) => (await load()).run(vector(x, 0, 0, 0))));
    runs.forEach(({ out }, i) => expect(Array.from(out?.data as Float32Array)).toEqual(expected([i + 1, 0, 0, 0])));
    await stop;
    warn.mockRestore();
  });
});

describe('options', () => {
  it('aborts a load', async () => {
    expect(await codeOf(load(modelFile(), { signal: AbortSignal.abort() }))).toBe('aborted');
    const stop = server(() => new Response(new ReadableStream()));
    const control = new AbortController();
    const loading = codeOf(load('http://host/m', { signal: control.signal }));
    setTimeout(() => control.abort(), 20);
    expect(await loading.finally(stop)).toBe('aborted');
  });

  it('refuses wisdom of another version when given, drops it when stored', async () => {
    const old = { 'wasmkiln-wisdom': 9, entries: [] };
    expect(await codeOf(load(modelFile(), { tuning: { wisdom: old } }))).toBe('bad-wisdom');
    let saved = '';
    const wisdomStore = { load: () => Promise.resolve(JSON.stringify(old)), save: (_: string, json: string) => Promise.resolve(void (saved = json)) };
    using model = await load(modelFile(), { wisdomStore });
    expect(model.info().notes.join()).toContain('dropped');
    expect(JSON.parse(saved)).toMatchObject({ 'wasmkiln-wisdom': 1, entries: [{ schedule: 'a' }] });
  });

  it('notes a store that fails', async () => {
    const fail = (): Promise<never> => Promise.reject(new Error('quota'));
    using model = await load(modelFile(), { wisdomStore: { load: fail, save: fail } });
    expect(model.info().notes.join()).toMatch(/not read.*not saved/s);
  });

  it('does not wait for a store that never answers', async () => {
    const never = (): Promise<never> => new Promise(() => undefined);
    using model = await load(modelFile(), { wisdomStore: { load: never, save: never }, stallTimeoutMs: 300 });
    expect(model.info().notes.join()).toMatch(/not read.*not answered for 0.3 s.*not saved/s);
  });

  it('does not wait for a compiler or wisdom that stops after its headers, or half-way', async () => {
    for (const sent of [0, 1000])
      for (const options of [{ compiler: 'http://host/c.wasm' }, { tuning: { wisdom: 'http://host/w.json' } }] satisfies LoadOptions[]) {
        const stop = server(() => new Response(new ReadableStream({ start: (c) => c.enqueue(compiler.slice(0, sent + 1)) })));
        await expect(load(modelFile(), { ...options, stallTimeoutMs: 300 }).finally(stop)).rejects.toMatchObject({ code: 'stalled', message: expect.stringContaining(`after ${sent + 1} bytes`) as string });
      }
  });

  it('says how much memory was refused', async () => {
    const greedy = fakeCompiler({ shared: false, total: 2 ** 40 });
    await expect(load(modelFile(), { compiler: greedy })).rejects.toMatchObject({ code: 'out-of-memory', message: expect.stringContaining('MB') as string });
  });

  it('refuses options out of range', async () => {
    for (const options of [{ threads: 0 }, { tuning: { budgetMs: -1 } }, { stallTimeoutMs: NaN }, { precision: 'sloppy' as 'fast' }] satisfies LoadOptions[]) {
      expect(await codeOf(load(modelFile(), options))).toBe('bad-option');
    }
    expect(await codeOf(load(5 as unknown as string))).toBe('bad-option');
  });
});
