// What every engine must do, as functions that throw. They run in a page or in Node, against the built SDK; the compiler is one
// that knows a single tiny model (js-sdk/tests/support), so that only the SDK and the engine are judged. models.js does the rest.
import { faultCases } from './faults.js';
import { modelCases } from './models.js';

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** The name is that of an aborted operation too, as everybody who passes a signal looks for. */
async function rejects(work, code, name = code === 'aborted' ? 'AbortError' : 'KilnError') {
  const outcome = await work.then(() => 'no error', (error) => error);
  check(outcome?.constructor?.name === 'KilnError' && outcome.name === name && outcome.code === code, `expected a KilnError ${code} called ${name}, got ${outcome?.code ?? ''} ${outcome?.stack ?? outcome}`);
  return outcome;
}

const kBadIndex = 666, kTrapFirst = 777, kTrapSecond = 778, kEndless = 555;
const kWeights = [1, 2, 3, 4], kBias = [10, 20, 30, 40];
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function tools({ sdk, base, expects }) {
  const { loadModel, Tensor } = sdk;
  const file = (name) => new URL(`fakes/${name}`, base).href;
  const load = (source = file('tiny.kiln'), options = {}) => {
    const threads = options.threads ?? (expects.sharedMemory ? 2 : 1);
    const { sharedMemory, worker } = options.preferences ?? {};
    const compiler = file(expects.sharedMemory && sharedMemory !== false && worker !== false ? 'shared.wasm' : 'private.wasm');
    const preferences = expects.workers ? {} : { worker: 'optional' }; // where they cannot be started
    return loadModel(source, { compiler, wisdomStore: false, ...options, threads, preferences: { ...preferences, ...options.preferences } });
  };
  const input = (first = 1) => ({ x: new Tensor('float32', [first, 2, 3, 4], [1, 4]) });
  const right = async (model, first = 1) => {
    const { out } = await model.run(input(first));
    const expected = [first, 2, 3, 4].map((x, i) => x * 2 * kWeights[i] + kBias[i]);
    check(Array.from(out.data).join() === expected.join(), `got ${out.data}, expected ${expected}`);
  };
  return { load, input, right, file };
}

const kCases = {
  'says what the environment can do': async ({ load, expects }) => {
    const model = await load();
    const info = model.info();
    for (const [key, value] of Object.entries(expects)) check(info[key] === value, `info().${key} is ${info[key]}, expected ${value}; missing: ${JSON.stringify(info.missing)}`);
    check(info.threads === (expects.sharedMemory ? 2 : 1), `${info.threads} threads`);
    for (const feature of ['sharedMemory', 'relaxedSimd', 'workers']) check(expects[feature] !== false || info.missing.some((m) => m.feature === feature && m.why), `no reason why ${feature} is missing`);
    model.dispose();
  },
  'blocks no page that has not asked for it': async ({ load, expects, without }) => {
    if (expects.workers) return;
    for (const worker of [undefined, true]) {
      const { message } = await rejects(load(undefined, { preferences: { worker } }), without);
      check(message.includes("worker: 'optional'") && message.includes(without === 'network' ? '503' : 'Content-Security-Policy'), message);
    }
  },
  'says in a service worker what it cannot do there': async ({ base, engine, expects, file }) => {
    if (engine !== 'chromium' || !expects.workers) return 'not tried'; // others have no service workers that are modules
    const registration = await navigator.serviceWorker.register(new URL('page/service_worker.js', base).href, { type: 'module' });
    const worker = registration.installing ?? registration.waiting ?? registration.active;
    const { port1, port2 } = new MessageChannel();
    worker.postMessage(file('tiny.kiln'), [port2]);
    const answer = await new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    await registration.unregister();
    check(answer.kind === 'KilnError' && answer.code === 'unsupported-environment' && answer.message.includes('load the model in a page'), JSON.stringify(answer));
  },
  'finds what only a service worker has': async (context) => {
    const { base, serviceWorker } = context;
    if (!serviceWorker) return 'not tried';
    await navigator.serviceWorker.register(new URL('page/only_here.js', base).href, { scope: base });
    while (!navigator.serviceWorker.controller) await wait(20);
    const { load, right } = tools({ ...context, sdk: await import(new URL('only-here/sdk/index.js', base)) });
    const visit = async () => {
      const model = await load(new URL('only-here/fakes/tiny.kiln', base).href);
      await right(model);
      model.dispose();
    };
    for (let i = 0; i < 10; i++) await visit();
    for (let i = 0; i < 5; i++) await Promise.all([visit(), visit(), visit()]);
  },
  'goes on where a download breaks off': async ({ load, right, file, expects }) => {
    const breaks = new URL('breaks/fakes/tiny.kiln', file('..'));
    const elsewhere = new URL(breaks.href.replace('//localhost', '//127.0.0.1'));
    for (const url of expects.sharedMemory ? [breaks, elsewhere] : [breaks]) {
      const totals = [];
      const model = await load(url, { onProgress: ({ stage, loadedBytes, totalBytes }) => stage === 'download' && totals.push(loadedBytes, totalBytes) });
      await right(model);
      check(totals.at(-1) === totals.at(-2) && totals.at(-1) > 0, totals.join());
      model.dispose();
    }
  },
  'runs again and again, in order': async ({ load, right }) => {
    const model = await load();
    await Promise.all(Array.from({ length: 200 }, (_, i) => right(model, i)));
    model.dispose();
  },
  'tunes within a budget': async ({ load, right }) => {
    const stages = new Set();
    const model = await load(undefined, { tuning: { budgetMs: 30 }, onProgress: ({ stage }) => stages.add(stage) });
    check(['download', 'compile', 'tune', 'ready'].every((stage) => stages.has(stage)), [...stages].join());
    check(JSON.parse(model.exportWisdom()).entries.length === 1, 'no wisdom');
    await right(model);
    model.dispose();
  },
  'profiles every step': async ({ load, input }) => {
    const model = await load();
    const steps = await model.profile(input(), { repeats: 2 });
    check(steps.length === 2 && steps.every(({ ms }) => ms >= 0), JSON.stringify(steps));
    model.dispose();
  },
  'keeps wisdom between loads': async ({ load }) => {
    (await load(undefined, { wisdomStore: undefined, tuning: { budgetMs: 5 } })).dispose();
    const model = await load(undefined, { wisdomStore: undefined });
    check(model.info().notes.length === 0, model.info().notes.join());
    check(JSON.parse(model.exportWisdom()).entries.length === 1, 'no wisdom');
    model.dispose();
  },
  'works without a worker and without shared memory': async ({ load, right }) => {
    for (const preferences of [{ worker: false }, { sharedMemory: false }]) {
      const model = await load(undefined, { threads: 1, preferences });
      check(model.info().threads === 1, 'threads');
      await right(model);
      model.dispose();
    }
  },
  'loads bytes and blobs': async ({ load, right, file }) => {
    const bytes = await (await fetch(file('tiny.kiln'))).arrayBuffer();
    for (const source of [bytes, new Uint8Array(bytes), new Blob([bytes])]) {
      const model = await load(source);
      await right(model);
      model.dispose();
    }
  },
  'sends no bytes through ports, which Firefox copies': async ({ load, right, file, engine, expects }) => {
    if (engine === 'node' || !expects.workers) return 'not tried'; // Node's workers are ports
    const bytes = await (await fetch(file('tiny.kiln'))).arrayBuffer();
    const { postMessage } = MessagePort.prototype;
    let sent = 0;
    MessagePort.prototype.postMessage = function (message, transfer) {
      sent += [transfer].flat().reduce((sum, each) => sum + (each?.byteLength ?? 0), 0);
      for (const each of [message, message?.arg, message?.value].flat()) sent += each?.byteLength ?? 0;
      return postMessage.call(this, message, transfer);
    };
    try {
      const model = await load(bytes, { preferences: { sharedMemory: false } });
      await right(model);
      model.dispose();
    } finally {
      MessagePort.prototype.postMessage = postMessage;
    }
    check(sent === 0, `${sent} bytes`);
  },
  'stops a run that is aborted': async ({ load, input, right, expects }) => {
    const model = await load();
    const control = new AbortController();
    const run = model.run(input(kEndless), { signal: control.signal });
    await wait(50);
    control.abort();
    await rejects(run, 'aborted');
    await right(model);
    if (expects.sharedMemory) await rejects(model.run(input(kEndless), { signal: AbortSignal.timeout(30) }), 'aborted', 'TimeoutError');
    await right(model);
    model.dispose();
  },
  'drops a waiting run that is aborted': async ({ load, input, right }) => {
    const model = await load();
    const control = new AbortController();
    const [first, second] = [right(model), model.run(input(), { signal: control.signal })];
    control.abort();
    await rejects(second, 'aborted');
    await first;
    model.dispose();
  },
  'ends cleanly when a thread traps': async ({ load, input, expects }) => {
    for (const trap of expects.sharedMemory ? [kTrapFirst, kTrapSecond] : [kTrapFirst]) {
      const model = await load();
      await rejects(model.run(input(trap)), 'internal');
      await rejects(model.run(input()), 'internal');
      model.dispose();
    }
  },
  'refuses wrong names, types, shapes and indices, and stays usable': async ({ load, input, right, sdk }) => {
    const model = await load();
    const { Tensor } = sdk;
    for (const wrong of [{}, { y: input().x }, { x: new Tensor('int32', [1, 2, 3, 4], [1, 4]) }, { x: new Tensor('float32', [1, 2], [1, 2]) }, input(kBadIndex)]) {
      await rejects(model.run(wrong), 'bad-input');
    }
    await right(model);
    model.dispose();
  },
  'rejects what is pending on dispose, and every later run': async ({ load, input, expects }) => {
    const model = await load();
    const pending = [model.run(input(expects.workers ? kEndless : 1)), model.run(input())].map((run) => rejects(run, 'disposed'));
    if (expects.workers) await wait(0); // without them both runs would be done
    model.dispose();
    model.dispose();
    await Promise.all(pending);
    await rejects(model.run(input()), 'disposed');
  },
  'refuses truncated, flipped and foreign files': async ({ load, file }) => {
    const bytes = new Uint8Array(await (await fetch(file('tiny.kiln'))).arrayBuffer());
    const flipped = bytes.slice();
    flipped[131] ^= 4;
    for (const bad of [bytes.slice(0, 8), bytes.slice(0, 90), bytes.slice(0, 150), flipped, new Uint8Array(500)]) await rejects(load(bad), 'bad-file');
    const { message } = await rejects(load(new URL('html', file('..')).href), 'bad-file');
    check(message.includes('HTML'), message);
  },
  'refuses wisdom of another version': async ({ load }) => {
    await rejects(load(undefined, { tuning: { wisdom: { 'wasmkiln-wisdom': 9, entries: [] } } }), 'bad-wisdom');
  },
  'says what the network did': async ({ load, file }) => {
    const { message } = await rejects(load(file('none.kiln')), 'network');
    check(message.includes('404') && message.includes('none.kiln'), message);
    await rejects(load('http://localhost:1/none.kiln'), 'network');
    for (const silent of ['stall', 'mute']) await rejects(load(new URL(silent, file('..')).href, { stallTimeoutMs: 500 }), 'stalled');
  },
  'aborts a load': async ({ load, file }) => {
    await rejects(load(undefined, { signal: AbortSignal.abort() }), 'aborted');
    await rejects(load(new URL('stall', file('..')).href, { signal: AbortSignal.timeout(50) }), 'aborted', 'TimeoutError');
  },
  'says how much memory is missing': async ({ load, file, right }) => {
    const { message } = await rejects(load(undefined, { threads: 1, compiler: file('greedy.wasm') }), 'out-of-memory');
    check(/\d+ MB/.test(message), message);
    const model = await load();
    await right(model);
    model.dispose();
  },
  'leaks nothing over a hundred loads': async ({ load, right, mark }) => {
    const once = async () => {
      const model = await load();
      await right(model);
      model.dispose();
    };
    for (let i = 0; i < 10; i++) await once();
    await mark('before');
    // A leak would be some 3 threads, at least 1 MB of stacks and heaps, and a memory per load, and stay; the engine's own pools come and go.
    const fits = (grown) => !grown || (grown.threads <= 40 && grown.bytes < 100 << 20 && grown.memories <= 20);
    const settles = async () => {
      let grown;
      for (let look = 0; look < 20; look++) {
        await wait(500);
        if (fits((grown = await mark('after')))) return;
      }
      check(false, `grew by ${grown.threads} threads, ${grown.bytes} bytes and ${grown.memories} memories`);
    };
    // After some, too: an engine that runs out of addresses collects its garbage, and nothing is to be seen.
    for (const loads of [40, 60]) {
      for (let i = 0; i < loads; i++) await once();
      await settles();
    }
  },
  'runs while its weights arrive': async ({ load, right, input, file, expects }) => {
    const slow = new URL('slow/fakes/tiny.kiln', file('..')).href;
    for (const preferences of [{}, { sharedMemory: false }]) {
      const model = await load(slow, { runWhileLoading: true, preferences });
      const first = right(model), second = right(model, 5);
      await Promise.all([first, second, model.loaded]);
      check(model.info().downloadedBytes > 0, 'nothing was downloaded');
      await right(model, 7);
      model.dispose();
    }
    const model = await load(slow, { runWhileLoading: true });
    await rejects(model.run(input(kEndless), { signal: AbortSignal.timeout(20) }), 'aborted', expects.workers ? 'TimeoutError' : 'AbortError'); // where it blocks the page it ends by itself
    await right(model);
    model.dispose();
  },
};

/** Runs every case, or those behind `after`; one that fails does not stop the next. */
export async function runCases(given) {
  const results = [];
  let reached;
  const context = { ...given, reach: (what) => (reached = what) };
  const cases = context.faults ? faultCases(context, tools) : { ...Object.fromEntries(Object.entries(kCases).map(([name, run]) => [name, () => run({ ...context, ...tools(context) })])), ...modelCases(context) };
  const names = Object.keys(cases);
  for (const name of names.slice(names.indexOf(given.after) + 1)) {
    if ([context.only || [], context.cases ?? []].some((wanted) => wanted.length && ![wanted].flat().some((part) => name.includes(part)))) continue;
    let timer;
    reached = 'nothing';
    given.tell?.({ began: name });
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`still not done after 5 minutes; the last that was reached: ${reached}`)), 300_000)));
    const began = performance.now();
    const result = await Promise.race([cases[name](), late]).then((note) => ({ name, note }), (error) => ({ name, error: `${error}\n${error?.stack ?? ''}` })); // WebKit's stacks have no message
    results.push({ ...result, ms: Math.round(performance.now() - began) });
    clearTimeout(timer);
    given.tell?.(results.at(-1));
  }
  return results;
}
