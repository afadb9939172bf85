// What goes wrong on purpose, and what who loads a model gets then. docs/reliability.md has the table that these make.
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const kTrapFirst = 777, kTrapSecond = 778; // of the tiny model
const kSilenceMs = 120_000;
/** Where silence is the fault, and where it would be the machine's. */
const kSoon = { stallTimeoutMs: 1500 }, kPatient = { stallTimeoutMs: 40_000 };
const patience = (how) => (['mute', 'stalls'].includes(how) ? kSoon : kPatient);

/** What a user gets: the right numbers, or an error with a code. Wrong numbers, other errors and silence are what may not be. */
async function outcomeOf(work) {
  let timer;
  const silence = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`nothing after ${kSilenceMs / 1000} s`)), kSilenceMs)));
  silence.catch(() => undefined);
  try {
    return (await Promise.race([work(), silence])) ?? 'recovers';
  } catch (thrown) {
    if (thrown?.constructor?.name === 'KilnError' && typeof thrown.code === 'string' && thrown.message.length > 10) return `\`${thrown.code}\``;
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}

/** A file from a server where `how` happens to it: 503, mute, stalls, gone. */
const faulty = (base, file, how, root) => new URL(`faulty/${file}/${how}/${root}/${file}`, base).href;

/** The SDK whose `file` is so. */
const servedBy = (base) => (file, how) => import(new URL(`faulty/${file}/${how}/sdk/index.js`, base));

export function faultCases(context, tools) {
  const { base, engine, expects, variant = servedBy(base) } = context;
  const inPage = engine !== 'node';
  const { load, right, input, file } = tools(context);
  const model = (options, source) => load(source, { ...kPatient, ...options });
  const visits = async (loading) => {
    const loaded = await loading;
    await right(loaded);
    await right(loaded, 5);
    loaded.dispose();
  };
  const digits = async (sdk, options = {}) => {
    const at = (path) => new URL(`models/digits/${path}`, base).href;
    const floats = async (path) => new Float32Array(await (await fetch(at(path))).arrayBuffer());
    const loaded = await sdk.loadModel(at('model.kiln'), { threads: 1, wisdomStore: false, ...options });
    const { logits } = await loaded.run({ image: new sdk.Tensor('float32', await floats('inputs/image.bin'), [1, 1, 8, 8]) });
    const expected = await floats('outputs/logits.bin');
    const scale = Math.max(...expected.map(Math.abs));
    if (!logits.data.every((value, i) => Math.abs(value - expected[i]) <= 1e-4 * scale)) throw new Error(`wrong numbers: ${logits.data}`);
    return loaded;
  };
  /** Workers in front of which the prelude stands; a model of theirs. */
  const broken = async (fault, visit) => {
    const sdk = await variant('worker.js', fault);
    return visit({ sdk, ...tools({ ...context, sdk }) });
  };
  const breaks = (fault) => () => broken(fault, ({ load }) => visits(load(undefined, kPatient)));
  const dies = (fault, ms) => () =>
    broken(fault, async ({ load, right }) => {
      const loaded = await load(undefined, kPatient);
      await right(loaded);
      await wait(ms);
      try {
        await right(loaded);
      } finally {
        loaded.dispose();
      }
    });
  const ownFile = (name, options = {}) => (how) => async () => {
    const sdk = await variant(name, how);
    (await digits(sdk, { cache: false, ...patience(how), ...options })).dispose();
  };
  const threads = expects.sharedMemory;
  const cases = {};
  const add = (name, applies, work, after = (outcome) => outcome) => (cases[name] = applies ? () => outcomeOf(work).then(after) : () => Promise.resolve('—'));
  /** Who has given up a file leaves its connection: pages have six of them. */
  const left = (name) => async (outcome) => {
    const open = async () => (await (await fetch(new URL('waiting', base))).json()).includes(name);
    for (let i = 0; await open(); i++) {
      if (i === 50) throw new Error(`${name} was given up, and its connection is open 5 s later`);
      await wait(100);
    }
    return outcome;
  };
  /** Firefox asks again where a connection was cut before an answer, at times for longer than anybody waits. */
  const cut = (outcome) => (outcome === '`stalled`' ? '`network`' : outcome);

  const hows = { 503: 'answered with 503', mute: 'never answered', stalls: 'begun and never ended', gone: 'cut off: the server is gone' };
  /** One case for each of these ways. */
  const anyhow = (what, applies, work, after) => {
    for (const [how, words] of Object.entries(hows)) add(`${what} is ${words}`, applies, work(how), how === 'gone' ? cut : after);
  };
  anyhow('the model', true, (how) => () => visits(model(patience(how), faulty(base, 'tiny.kiln', how, 'fakes'))), left('tiny.kiln'));
  const alone = { threads: 1, preferences: { worker: false } };
  add('the model, without workers, is begun and never ended', inPage, () => visits(model({ ...kSoon, ...alone }, faulty(base, 'tiny.kiln', 'stalls', 'fakes'))), left('tiny.kiln'));
  add('the download breaks off, and the server goes on', true, () => visits(model({}, new URL('breaks/fakes/tiny.kiln', base).href)));
  add('the download breaks off, and the server is gone', true, () => visits(model(kSoon, faulty(base, 'tiny.kiln', 'half', 'fakes'))));
  anyhow('compiler.wasm', inPage, ownFile('compiler.wasm'), left('compiler.wasm'));
  anyhow('worker.js', inPage && expects.workers, ownFile('worker.js'));
  anyhow('roles.js, without workers,', inPage, ownFile('roles.js', { preferences: { worker: false } }));
  for (const name of ['compiler.wasm', 'worker.js']) add(`${name} is not there`, true, ownFile(name)('missing'));
  anyhow('wisdom', true, (how) => () => visits(model({ ...patience(how), tuning: { wisdom: faulty(base, 'wisdom.json', how, 'fakes') } })), left('wisdom.json'));
  add('weights are damaged', true, async () => {
    const bytes = new Uint8Array(await (await fetch(file('tiny.kiln'))).arrayBuffer());
    bytes[140] ^= 1;
    await visits(model({}, bytes));
  });

  add('memory is refused', true, breaks('no-memory'));
  add('memory is refused for a moment', true, breaks('memory-in-a-moment'));
  add('nothing can be instantiated', true, breaks('no-instances'));
  add("the compiler's memory cannot grow", true, () => broken('no-growth', async ({ sdk }) => (await digits(sdk, { cache: false, ...kPatient })).dispose()));

  add('workers die as they start', expects.workers, breaks('dies-at-once'));
  add('the host dies while it loads', expects.workers, breaks('host-dies-at-load'));
  add('the compiler dies while it compiles', expects.workers, breaks('compiler-dies-at-its-code'));
  add('a thread dies as it starts', threads, breaks('compute-dies-at-once'));
  add('the host dies in a run', expects.workers, breaks('host-dies-in-a-run'));
  add('the host dies between runs', expects.workers, dies('host-dies-between-runs', 1500));
  const traps = (first) => async () => {
    const loaded = await model();
    await right(loaded);
    await loaded.run(input(first)).finally(() => loaded.dispose());
  };
  add('the host traps in a run', true, traps(kTrapFirst));
  add('a thread traps in a run', threads, traps(kTrapSecond));
  add('a callback throws', true, () => visits(model({ onProgress: () => { throw new Error('on purpose, and to be seen'); } })));
  add('the store of wisdom never answers', true, () => visits(model({ ...kSoon, wisdomStore: { load: () => new Promise(() => undefined), save: () => new Promise(() => undefined) } })));

  const storage = inPage && typeof navigator.storage?.getDirectory === 'function' && expects.workers;
  const folder = async () => (await navigator.storage.getDirectory()).getDirectoryHandle('wasmkiln-cache-5', { create: true });
  const emptied = async () => {
    for (let i = 0; i < 50; i++) {
      try {
        for await (const name of (await folder()).keys()) await (await folder()).removeEntry(name);
        return;
      } catch {
        await wait(100); // a model that was disposed of is still being kept
      }
    }
  };
  /** A visit as any, once what it loaded is kept, or a note says why not. Whether it began from what another had kept. */
  const visit = async (sdk, options = kPatient) => {
    const loaded = await digits(sdk, options);
    const { cache } = loaded.info();
    for (let i = 0; loaded.info().cache === 'miss' && loaded.info().notes.length === 0 && i < 100; i++) await wait(50);
    loaded.dispose();
    return cache;
  };
  /** `between` a visit and another, by workers with a `fault`: that one may not begin from what is kept. */
  const stored = (name, { between = () => undefined, fault = null, more = true, options = kPatient }) =>
    add(name, storage && more, async () => {
      await emptied().catch(() => undefined);
      if ((await visit(context.sdk)) === 'none' || (await visit(context.sdk)) !== 'hit') return '—';
      await between();
      const cache = await visit(fault ? await variant('worker.js', fault) : context.sdk, options);
      if (cache === 'hit') throw new Error('it began from what was kept');
      return 'recovers';
    });
  stored('storage is full', { between: emptied, fault: 'storage-is-full' });
  stored('storage is refused', { fault: 'storage-is-refused' });
  stored('storage never answers', { fault: 'storage-never-answers', options: kSoon });
  stored('storage never opens a file', { fault: 'storage-never-opens', options: kSoon });
  stored('storage was evicted', { between: emptied });
  stored('storage gives nothing back', { fault: 'storage-is-cut' });
  const damage = async () => {
    for await (const handle of (await folder()).values()) {
      const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      const stream = await handle.createWritable();
      await stream.write(bytes.map((byte, i) => (i % 977 === 100 ? byte ^ 4 : byte)));
      await stream.close();
    }
  };
  stored('storage is damaged', { between: damage, more: Boolean(globalThis.FileSystemFileHandle?.prototype.createWritable) });

  const tab = (rounds) => {
    const frame = document.createElement('iframe');
    frame.allow = 'cross-origin-isolated';
    frame.src = new URL(`page/tab.html?${new URLSearchParams({ sdk: new URL('sdk/index.js', base).href, rounds })}`, base).href;
    document.documentElement.append(frame);
    const done = new Promise((resolve, reject) => {
      addEventListener('message', ({ source, data }) => source === frame.contentWindow && (data.error ? reject(new Error(data.error)) : resolve()));
      setTimeout(() => reject(new Error('a tab says nothing')), kSilenceMs - 5000);
    });
    done.catch(() => undefined);
    return { done, close: () => frame.remove() };
  };
  add('two tabs load one model at the same time', inPage, async () => {
    if (storage) await emptied().catch(() => undefined);
    const tabs = [tab(2), tab(2)];
    await Promise.all(tabs.map(({ done }) => done));
    tabs.forEach(({ close }) => close());
    (await digits(context.sdk)).dispose();
  });
  add('a tab is closed while it loads, runs or keeps', inPage, async () => {
    for (const ms of [100, 250, 400, 600, 900]) {
      const { close } = tab(1000);
      await wait(ms);
      close();
    }
    (await digits(context.sdk)).dispose();
  });
  add('the tab is in the background', inPage, async () => {
    const front = window.open('about:blank');
    for (let i = 0; i < 20 && document.visibilityState !== 'hidden'; i++) await wait(50);
    const hidden = document.visibilityState === 'hidden';
    if (hidden) await visits(model({ tuning: { budgetMs: 20 } }));
    front?.close();
    return hidden ? 'recovers' : 'not tried';
  });
  return Object.fromEntries(Object.entries(cases).map(([name, work]) => [`fault: ${name}`, work]));
}
