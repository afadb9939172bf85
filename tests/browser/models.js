// Real models: their outputs against PyTorch's, within 1e-4 of the output's largest magnitude (float32 sums in another order).
const kTolerance = 1e-4;
const kArrays = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array };

async function read(url, { dtype }) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new kArrays[dtype](await response.arrayBuffer());
}

function compare(name, got, expected, tolerance = kTolerance) {
  if (got.length !== expected.length) throw new Error(`${name} has ${got.length} elements, not ${expected.length}`);
  let scale = 0, worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const same = got[i] === expected[i] || (Number.isNaN(got[i]) && Number.isNaN(expected[i]));
    const difference = same ? 0 : Math.abs(got[i] - expected[i]);
    if (!(difference <= worst)) worst = difference; // NaN too
    if (Number.isFinite(expected[i])) scale = Math.max(scale, Math.abs(expected[i]));
  }
  if (!(worst <= tolerance * scale)) throw new Error(`${name} is off by ${worst}, its scale is ${scale}`);
  return worst / scale;
}

async function agrees({ sdk, base, reach, folder = 'models' }, id, options, tolerance, speed = '') {
  const at = (path) => new URL(`${folder}/${id}/${path}`, base).href;
  const io = await (await fetch(at('io.json'))).json();
  reach('its description');
  const model = await sdk.loadModel(new URL(`${speed}${folder}/${id}/model.kiln`, base).href, { wisdomStore: false, onProgress: (event) => reach(JSON.stringify(event)), ...options });
  try {
    const inputs = {};
    for (const port of io.inputs) inputs[port.name] = new sdk.Tensor(port.dtype, await read(at(port.file), port), port.shape);
    let error = 0;
    for (let repeat = 0; repeat < 3; repeat++) {
      reach(`run ${repeat}`);
      const outputs = await model.run(inputs);
      reach(`the answer of run ${repeat}`);
      for (const port of io.outputs) error = Math.max(error, compare(port.name, outputs[port.name].data, await read(at(port.file), port), tolerance));
      if (repeat) continue;
      for (const [name, { data }] of Object.entries(inputs)) (inputs[name] = model.inputTensor(name)).data.set(data); // and they stay
    }
    const { timings, threads } = model.info();
    const times = Object.entries(timings).map(([name, ms]) => `${name} ${ms.toFixed(0)}`).join(', ');
    return `${threads} threads, error ${error.toExponential(1)} of scale; ${times}`;
  } finally {
    model.dispose();
  }
}

/** What each precision promises of its outputs, on every kind of memory and of multiply-add that there is. */
const kPrecisions = { exact: 1e-5, balanced: 1e-4, fast: 1e-3 };
async function precisions(context, id) {
  const notes = [];
  for (const [precision, tolerance] of Object.entries(kPrecisions))
    for (const sharedMemory of [true, false])
      for (const relaxedSimd of [true, false]) notes.push(`${precision} ${/error \S+/.exec(await agrees(context, id, { precision, preferences: { sharedMemory, relaxedSimd } }, tolerance))[0]}`);
  return notes.join(', ');
}

/** Where rounding, reordering and turning around would show (extremes.py): each precision keeps what it promises. */
async function keepsExtremes(context) {
  const found = await (await fetch(new URL('fakes/extremes.json', context.base))).json();
  const notes = [];
  for (const [precision, ids] of Object.entries(found))
    for (const id of ids) notes.push(`${id} ${/error \S+/.exec(await agrees({ ...context, folder: 'fakes' }, id, { precision, cache: false }, kPrecisions[precision]))[0]}`);
  return notes.join(', ');
}

/** The first run begins while weights arrive, in the compiler's worker or, without shared memory, between two pieces of the file. */
async function runsWhileLoading(context, id) {
  const notes = [];
  for (const options of [{ threads: 1 }, {}, { preferences: { sharedMemory: false } }]) notes.push(await agrees(context, id, { cache: false, runWhileLoading: true, ...options }, kTolerance, 'slow/'));
  return notes.map((note) => /error \S+/.exec(note)[0]).join(', ');
}

/** A model whose sizes are bound at load (dynamic.py): PyTorch's answers at each, and errors that say what sizes there are. */
async function bindsSizes({ sdk, base }) {
  const at = (path) => new URL(`fakes/${path}`, base).href;
  const load = (dims, threads) => sdk.loadModel(at('dynamic.kiln'), { wisdomStore: false, threads, dims });
  let error = 0;
  for (const { dims, x, outputs } of await (await fetch(at('dynamic.json'))).json())
    for (const threads of [1, 'auto']) {
      const model = await load(dims, threads);
      const answers = await model.run({ x: new sdk.Tensor('float32', x.data, x.shape) });
      for (const [name, expected] of Object.entries(outputs)) error = Math.max(error, compare(`${name} at ${JSON.stringify(dims)}`, answers[name].data, expected));
      model.dispose();
    }
  for (const dims of [{}, { batch: 1 }, { batch: 17, length: 4 }, { batch: 1, length: 4, width: 2 }]) {
    const outcome = await load(dims, 1).then(() => null, (error) => error);
    if (outcome?.code !== 'bad-option') throw new Error(`${JSON.stringify(dims)}: ${outcome?.code} ${outcome?.message}`);
  }
  return `error ${error.toExponential(1)} of scale`;
}

/** An .onnx file (onnx_file.py): by its name, and by its bytes alone, for which another compiler was asked at first. */
async function readsOnnx({ sdk, base }) {
  const at = (path) => new URL(`fakes/${path}`, base).href;
  const { x, y } = await (await fetch(at('small-onnx.json'))).json();
  let error = 0;
  for (const name of ['small.onnx', 'small-onnx.bin'])
    for (const options of [{}, { threads: 1, preferences: { sharedMemory: false } }, { preferences: { worker: false } }, { runWhileLoading: true }]) {
      const model = await sdk.loadModel(at(name), { wisdomStore: false, ...options });
      const answers = await model.run({ x: new sdk.Tensor('float32', x, [2, 3, 24, 24]) });
      error = Math.max(error, compare(`${name} with ${JSON.stringify(options)}`, answers.y.data, y));
      if (model.info().cache !== 'none') throw new Error(`its cache: ${model.info().cache}`);
      model.dispose();
    }
  const unread = await sdk.loadModel(at('small.onnx'), { wisdomStore: false, integrity: `sha256-${'A'.repeat(43)}=` }).catch((refusal) => refusal);
  if (unread.code !== 'bad-file') throw new Error(`integrity of another file: ${unread.code} ${unread.message}`);
  return `error ${error.toExponential(1)} of scale`;
}

/** A model with operators that compiler.wasm lacks (rare.py): compiler-full.wasm comes in its place, the file once. A plain model never asks for it. */
async function fetchesWhatIsRare({ sdk, base, engine }) {
  const at = (path) => new URL(`fakes/${path}`, base).href;
  const { x, values, indices } = await (await fetch(at('rare.json'))).json();
  const asked = async () => (await fetch(new URL('asked', base))).json();
  let error = 0;
  for (const options of [{}, { threads: 1, preferences: { sharedMemory: false } }, { preferences: { worker: false } }, { runWhileLoading: true }])
    for (const [name, compilers] of [['rare.kiln', ['compiler.wasm', 'compiler-full.wasm']], ['plain.kiln', ['compiler.wasm']]]) {
      const before = (await asked()).length;
      const model = await sdk.loadModel(at(name), { wisdomStore: false, cache: false, ...options });
      const answers = await model.run({ x: new sdk.Tensor('float32', x, [3, 64]) });
      model.dispose();
      const files = (await asked()).slice(before).filter((file) => /\.(kiln|wasm)$/.test(file));
      const expected = engine === 'node' ? [name] : [...compilers, name]; // Node reads its own files where they are
      if (files.sort().join() !== expected.sort().join()) throw new Error(`${name} with ${JSON.stringify(options)}: fetched ${files}`);
      if (name === 'plain.kiln') continue;
      error = Math.max(error, compare(`values with ${JSON.stringify(options)}`, answers.values.data, values));
      if (Array.from(answers.indices.data, Number).join() !== indices.join()) throw new Error(`indices ${answers.indices.data}`);
    }
  return `error ${error.toExponential(1)} of scale`;
}

/** Random models whose large weights have several readers (shared_weights.py), packed over the bytes of the file and beside them. */
async function readsWeightsAgain(context) {
  const ids = await (await fetch(new URL('fakes/weights.json', context.base))).json();
  const ways = [{}, { threads: 1, precision: 'exact' }, { preferences: { sharedMemory: false } }];
  for (const [i, id] of ids.entries())
    try {
      await agrees({ ...context, folder: 'fakes' }, id, { cache: false, ...ways[i % ways.length] });
    } catch (error) {
      throw new Error(`${id}: ${error.message}`, { cause: error });
    }
  return `${ids.length} models`;
}

/** A model of 6.4 GB (far_memory.py), of which a few pages are touched: 64-bit addresses, on all threads and on one. */
async function reachesFar({ sdk, base }) {
  const at = (path) => new URL(`fakes/${path}`, base).href;
  const { near, far, x, outputs } = await (await fetch(at('far.json'))).json();
  const n = 400e6;
  let error = 0;
  for (const threads of [2, 1]) {
    const model = await sdk.loadModel(at('far.kiln'), { wisdomStore: false, threads, dims: { n } });
    const { memory64, sharedMemory } = model.info();
    if (!memory64 || !sharedMemory) throw new Error(`memory64 ${memory64}, sharedMemory ${sharedMemory}`);
    const rows = model.inputTensor('rows');
    near.forEach((values, row) => rows.data.set(values, row * n));
    far.forEach((values, row) => rows.data.set(values, (row + 1) * n - values.length));
    const answers = await model.run({ rows, x: new sdk.Tensor('float32', x, [x.length]) });
    for (const [name, expected] of Object.entries(outputs)) error = Math.max(error, compare(name, answers[name].data, expected));
    model.dispose();
  }
  const outcome = await sdk.loadModel(at('far.kiln'), { wisdomStore: false, dims: { n: 2 ** 30 } }).then(() => null, (error) => error);
  if (outcome?.code !== 'out-of-memory') throw new Error(`16 GB: ${outcome?.code} ${outcome?.message}`);
  return `error ${error.toExponential(1)} of scale`;
}

/** Every held-out digit: the class that PyTorch gives, so the same accuracy. */
async function heldOut({ sdk, base }) {
  const at = (path) => new URL(`models/digits/${path}`, base).href;
  const { count, accuracy, max_pixel: most } = await (await fetch(at('heldout.json'))).json();
  const rows = new Uint8Array(await (await fetch(at('heldout.bin'))).arrayBuffer());
  const model = await sdk.loadModel(at('model.kiln'), { wisdomStore: false });
  let right = 0;
  for (let row = 0; row < count; row++) {
    const pixels = rows.subarray(row * 66, row * 66 + 64);
    const { logits } = await model.run({ image: new sdk.Tensor('float32', Float32Array.from(pixels, (p) => p / most), [1, 1, 8, 8]) });
    const answer = logits.data.indexOf(Math.max(...logits.data));
    if (answer !== rows[row * 66 + 65]) throw new Error(`held-out digit ${row}: ${answer}, PyTorch says ${rows[row * 66 + 65]}`);
    if (answer === rows[row * 66 + 64]) right++;
  }
  model.dispose();
  if (Math.abs(right / count - accuracy) > 1e-9) throw new Error(`accuracy ${right / count}, PyTorch's is ${accuracy}`);
  return `${count} digits, accuracy ${accuracy}`;
}

/** What was measured is found again: from the store, and from an exported file. */
async function remembers({ sdk, base }) {
  const url = new URL('models/digits/model.kiln', base).href;
  let kept = null;
  const wisdomStore = { load: async () => kept, save: async (_, json) => void (kept = json) };
  const origins = async (options) => {
    const model = await sdk.loadModel(url, { threads: 1, cache: false, ...options });
    const counts = model.info().kernels.reduce((sum, { origin }) => ({ ...sum, [origin]: (sum[origin] ?? 0) + 1 }), {});
    const exported = model.exportWisdom();
    model.dispose();
    return { counts, exported };
  };
  const { counts: first, exported } = await origins({ wisdomStore, tuning: { budgetMs: 1000 } });
  if (!first.measured) throw new Error(`nothing was measured: ${JSON.stringify(first)}`);
  const { counts: stored } = await origins({ wisdomStore });
  const { counts: preloaded } = await origins({ wisdomStore: false, tuning: { wisdom: JSON.parse(exported) } });
  for (const counts of [stored, preloaded]) if (counts.wisdom !== first.measured) throw new Error(`${JSON.stringify(first)}, then ${JSON.stringify(counts)}`);
  return `${first.measured} kernels measured`;
}

/** A file with one flipped bit, wherever that is, is refused with a fitting code or still a model; nothing crashes. */
async function survivesFlips({ sdk, base }) {
  const file = new Uint8Array(await (await fetch(new URL('models/digits/model.kiln', base))).arrayBuffer());
  const headBytes = new DataView(file.buffer).getUint32(0, true);
  const tally = {};
  let seed = 1;
  const random = (limit) => Math.floor(((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32) * limit);
  for (let i = 0; i < 60; i++) {
    const at = random(i % 6 === 0 ? file.length : headBytes);
    const flipped = file.slice();
    flipped[at] ^= 1 << random(8);
    const outcome = await sdk.loadModel(flipped, { threads: 1, wisdomStore: false }).then((model) => (model.dispose(), 'loads'), (error) => error.code ?? String(error));
    if (!['loads', 'bad-file', 'unsupported-version', 'unsupported-operator', 'out-of-memory'].includes(outcome)) throw new Error(`byte ${at}: ${outcome}`);
    tally[outcome] = (tally[outcome] ?? 0) + 1;
  }
  return JSON.stringify(tally);
}

const kCacheFolder = 'wasmkiln-cache-5';
const cacheFolder = async () => (await navigator.storage.getDirectory()).getDirectoryHandle(kCacheFolder, { create: true });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether there is a cache that a page can look into; if so it is empty then. */
async function emptyCache() {
  if (typeof navigator.storage?.getDirectory !== 'function' || !globalThis.FileSystemFileHandle?.prototype.createWritable) return false;
  const folder = await cacheFolder();
  const clear = async () => {
    for await (const name of folder.keys()) await folder.removeEntry(name);
  };
  for (let i = 0; i < 50; i++) {
    if (await clear().then(() => true, () => false)) return true;
    await pause(100); // a model that was disposed of is still being kept
  }
  await clear();
  return true;
}

/** Changes by `edit(bytes)` the weights in the cache, or what was compiled. */
async function damage(which, edit) {
  for await (const [name, handle] of (await cacheFolder()).entries()) {
    if (name.includes('.') !== (which === 'compiled')) continue;
    const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
    const stream = await handle.createWritable();
    await stream.write(edit(bytes));
    await stream.close();
  }
}

async function untilKept(model) {
  for (let i = 0; model.info().cache === 'miss'; i++) {
    if (i === 200) throw new Error(`not kept: ${model.info().notes.join()}`);
    await pause(50);
  }
}

/** A second load starts from what the first one kept; not when anything differs, is damaged, or was not wanted. */
async function revisits(context) {
  const { sdk, base } = context;
  const url = new URL('models/digits/model.kiln', base).href;
  const visit = async (options = {}, wait = true) => {
    const model = await sdk.loadModel(url, { threads: 1, wisdomStore: false, ...options });
    const first = model.info().cache;
    if (wait) await untilKept(model);
    model.dispose();
    return first;
  };
  const expect = async (state, what, options) => {
    const got = await visit(options);
    if (got !== state) throw new Error(`${what}: ${got}, not ${state}`);
  };
  if (!(await emptyCache())) return visit({}, false);
  if ((await visit()) === 'none') return 'no cache here';
  await expect('hit', 'a second visit');
  await agrees(context, 'digits', { threads: 1 });
  await expect('none', 'a visit that wants none', { cache: false });
  await expect('miss', 'another precision', { precision: 'fast' });
  await expect('miss', 'other settings', { preferences: { relaxedSimd: false } });
  const damages = { cut: (bytes) => bytes.slice(0, 100), empty: () => new Uint8Array(0), flipped: (bytes) => bytes.map((byte, i) => (i % 4096 === 100 ? byte ^ 4 : byte)) };
  for (const which of ['compiled', 'weights'])
    for (const [name, edit] of Object.entries(damages)) {
      await damage(which, edit);
      await expect('miss', `a ${name} file of ${which}`);
      await expect('hit', `after a ${name} file of ${which}`);
    }
  let wisdom = null;
  const learning = { precision: 'exact', wisdomStore: { load: async () => wisdom, save: async (_, text) => void (wisdom = text) } };
  await expect('miss', 'a visit that tunes in the background', { ...learning, tuning: { background: true, budgetMs: 200 } });
  if (wisdom === null) throw new Error('nothing was learned');
  await expect('hit', 'a visit after it', learning);
  return 'hit';
}

/** Only the file that it names; what was not compared is not kept for who compares. */
async function insists({ sdk, base }) {
  const url = new URL('models/digits/model.kiln', base).href;
  const file = new Uint8Array(await (await fetch(url)).arrayBuffer());
  const head = file.slice(0, 4 + new DataView(file.buffer).getUint32(0, true));
  const integrity = `sha256-${btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest('SHA-256', head))))}`;
  const load = (source, options) => sdk.loadModel(source, { wisdomStore: false, integrity, ...options }).then((model) => (model.dispose(), 'loads'), ({ code }) => code);
  const damaged = file.slice();
  damaged[file.length - 5000] ^= 1;
  const tries = [[url, {}], [file, {}], [damaged, {}, 'bad-file'], [url, { integrity: `sha256-${'A'.repeat(43)}=` }, 'bad-file'], [url, { verify: false }, 'bad-option'], [damaged, { integrity: undefined, verify: false }]];
  for (const [i, [source, options, code = 'loads']] of tries.entries()) {
    const outcome = await load(source, options);
    if (outcome !== code) throw new Error(`try ${i}: ${outcome}, not ${code}`);
  }
  if (!(await emptyCache().catch(() => false))) return undefined;
  const unverified = await sdk.loadModel(url, { wisdomStore: false, verify: false });
  if (unverified.info().cache !== 'none') throw new Error(`what was not verified: ${unverified.info().cache}`);
  unverified.dispose();
  return undefined;
}

/** However short a visit is, and however busy: what it loaded the next one finds. */
async function fillsTheCache({ sdk, base }, id) {
  if (!(await emptyCache())) return 'no cache here';
  const url = new URL(`models/${id}/model.kiln`, base).href;
  const load = (options) => sdk.loadModel(url, { wisdomStore: false, ...options });
  const zeros = ({ inputs }) => Object.fromEntries(inputs.map(({ name, dtype, shape }) => [name, new sdk.Tensor(dtype, new kArrays[dtype](shape.reduce((a, b) => a * b, 1)), shape)]));
  const notes = [];
  for (const preferences of [{}, { sharedMemory: false }])
    for (const [name, rest] of Object.entries({ 'without a pause': () => null, '30 times a second': () => pause(33) })) {
      await emptyCache();
      const model = await load({ preferences });
      if (model.info().cache === 'none') return 'no cache here';
      const inputs = zeros(model);
      let runs = 0;
      const began = performance.now();
      for (; model.info().cache === 'miss'; runs++) {
        if (performance.now() - began > 60_000) throw new Error(`${name}: not kept after ${runs} runs`);
        await model.run(inputs);
        await rest();
      }
      if (model.info().cache !== 'kept') throw new Error(`${name}: ${model.info().notes.join()}`);
      notes.push(`${name} after ${(performance.now() - began).toFixed(0)} ms and ${runs} runs`);
      model.dispose();
    }
  await emptyCache();
  const short = await load();
  await short.run(zeros(short));
  short.dispose();
  for (let i = 0; ; i++) {
    if (i === 100) throw new Error('not kept after it was disposed of');
    await pause(100);
    const next = await load();
    const { cache } = next.info();
    next.dispose();
    if (cache === 'hit') break;
  }
  return notes.join(', ');
}

/** Each size of a model adds what is different about it. */
async function sharesWeights({ sdk, base }) {
  if (!(await emptyCache())) return 'no cache here';
  const stored = async () => {
    let bytes = 0;
    for await (const handle of (await cacheFolder()).values()) bytes += (await handle.getFile()).size;
    return bytes;
  };
  const sizes = [];
  for (const length of [4, 16, 17, 33, 64, 100]) {
    const load = () => sdk.loadModel(new URL('fakes/large.kiln', base).href, { wisdomStore: false, threads: 1, dims: { length } });
    const model = await load();
    if (model.info().cache === 'none') return 'no cache here';
    await untilKept(model);
    model.dispose();
    sizes.push(await stored());
    const again = await load();
    if (again.info().cache !== 'hit') throw new Error(`length ${length}: ${again.info().cache}`);
    again.dispose();
  }
  const megabytes = sizes.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(', ');
  if (!(sizes[0] > 8 << 20 && sizes.at(-1) < 3 * sizes[0])) throw new Error(`${megabytes} MB`); // there are few packings, and six lengths
  return `${megabytes} MB`;
}

/** Real sentences: PyTorch's embeddings. */
async function sentences({ sdk, base }) {
  const at = (path) => new URL(`models/minilm/${path}`, base).href;
  const model = await sdk.loadModel(at('model.kiln'), { wisdomStore: false });
  let error = 0;
  for (const { text, input_ids: ids, attention_mask: mask, embedding: expected } of await (await fetch(at('sentences.json'))).json()) {
    const inputs = { input_ids: new sdk.Tensor('int64', ids, [1, ids.length]), attention_mask: new sdk.Tensor('int64', mask, [1, mask.length]) };
    const { embedding } = await model.run(inputs);
    error = Math.max(error, compare(text, embedding.data, expected));
  }
  model.dispose();
  return `error ${error.toExponential(1)} of scale`;
}

/** One case per model, and for the smallest every way to fall back. */
export function modelCases(context) {
  const cases = {};
  for (const id of context.models) cases[`${id} agrees with PyTorch`] = () => agrees(context, id, {});
  if (context.models.includes('minilm')) cases['minilm embeds sentences as PyTorch does'] = () => sentences(context);
  if (context.generated) cases['a model of dynamic sizes agrees with PyTorch at several'] = () => bindsSizes(context);
  if (context.generated) cases['an .onnx file agrees with PyTorch'] = () => readsOnnx(context);
  if (context.generated) cases['what is rare is fetched when a model has it, and never else'] = () => fetchesWhatIsRare(context);
  if (context.generated) cases['weights that are read several times agree with PyTorch'] = () => readsWeightsAgain(context);
  // Weights that are packed where they land, and some that wait in the arena.
  for (const id of ['mobilenetv2', 'minilm', 'whisper-decoder'].filter((id) => context.models.includes(id))) cases[`${id} runs while its weights arrive`] = () => runsWhileLoading(context, id);
  // Their layers are large enough for every algorithm that a precision allows.
  for (const id of ['yolov8n', 'minilm'].filter((id) => context.precisions && context.models.includes(id))) cases[`${id} is as precise as was asked for`] = () => precisions(context, id);
  if (context.generated) cases['each precision keeps what it promises of extremes'] = () => keepsExtremes(context);
  if (context.generated && context.expects.sharedMemory) cases['a model of more than 4 GB agrees with PyTorch'] = () => reachesFar(context);
  if (!context.models.includes('digits')) return cases;
  cases['digits is as precise as was asked for'] = () => precisions(context, 'digits');
  cases['digits classifies every held-out digit as PyTorch does'] = () => heldOut(context);
  cases['digits: what was measured comes back as wisdom'] = () => remembers(context);
  cases['digits: a second visit starts from the cache'] = () => revisits(context);
  for (const id of ['digits', 'mobilenetv2'].filter((id) => context.models.includes(id))) cases[`${id}: the cache fills`] = () => fillsTheCache(context, id);
  if (context.generated) cases['a model of dynamic sizes: the cache has its weights once'] = () => sharesWeights(context);
  cases['digits: a page insists on its file'] = () => insists(context);
  cases['digits survives flipped bits'] = () => survivesFlips(context);
  const fallbacks = { 'one thread': { threads: 1 }, 'private memory': { preferences: { sharedMemory: false } }, 'no worker': { preferences: { worker: false } }, 'no relaxed SIMD': { preferences: { relaxedSimd: false } }, tuned: { tuning: { budgetMs: 100 } } };
  for (const [name, options] of Object.entries(fallbacks)) cases[`digits agrees with PyTorch: ${name}`] = () => agrees(context, 'digits', options);
  return cases;
}
