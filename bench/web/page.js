// One measurement in one page: a cold start of one engine, or engines run in turn on the same inputs.
import { engines } from './engines.js';

const parameters = new URLSearchParams(location.search);
const job = JSON.parse(parameters.get('job'));
const base = new URL('..', location.href);
const at = (path) => new URL(path, base).href;
const post = (what, body) => fetch(at(`${what}/${parameters.get('id')}`), { method: 'POST', body: JSON.stringify(body) }).then((r) => r.json());

const kArrays = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array };
const read = async (model, port) => new kArrays[port.dtype](await (await fetch(at(`models/${model}/${port.file}`))).arrayBuffer());

async function feeds(model) {
  const io = await (await fetch(at(`models/${model}/io.json`))).json();
  const load = (ports) => Promise.all(ports.map(async (port) => ({ ...port, data: await read(model, port) })));
  return { io, inputs: await load(io.inputs), expected: await load(io.outputs) };
}

/** The largest difference from what was expected: of any element, and as a share of the largest element of its output. */
function errors(outputs, expected) {
  let absolute = 0, share = 0;
  for (const { name, data } of expected) {
    let worst = 0, scale = 0;
    for (let i = 0; i < data.length; i++) {
      const difference = Math.abs(Number(outputs[name][i] - data[i]));
      if (!(difference <= worst)) worst = difference; // NaN too
      scale = Math.max(scale, Math.abs(Number(data[i])));
    }
    absolute = Math.max(absolute, worst);
    share = Math.max(share, worst && worst / scale);
  }
  return { max_abs_error: absolute, max_error_ratio: share };
}

/** A browser that has just been started is busy with itself for a while. */
const kBrowserStartMs = 1000;

/** From nothing to the first answer, then memory while the model is held. */
async function cold({ model, engine, threads }) {
  const { io, inputs, expected } = await feeds(model);
  await new Promise((resolve) => setTimeout(resolve, kBrowserStartMs));
  await post('mark', 'before');
  const start = performance.now();
  const session = await engines[engine](at, model, threads, io);
  const outputs = await session.run(inputs);
  const first = performance.now() - start;
  const usage = await post('mark', 'after');
  const phases = session.info?.().phases ?? [];
  return { first_output_ms: first, peak_memory_bytes: usage.bytes, ...errors(outputs, expected), memory: session.memory?.(), phases: [...phases, { name: 'all', startMs: 0, endMs: first }] };
}

/** A visit fills the cache; the same page, opened again, starts from there. */
async function revisit({ model, engine, threads }) {
  const { io, inputs } = await feeds(model);
  await new Promise((resolve) => setTimeout(resolve, kBrowserStartMs));
  const start = performance.now();
  const session = await engines[engine](at, model, threads, io, true);
  await session.run(inputs);
  const took = performance.now() - start;
  const { cache, notes, phases } = session.info();
  if (cache === 'hit') return { second_visit_ms: took, phases: [...phases, { name: 'all', startMs: 0, endMs: took }] };
  while (session.info().cache !== 'kept') {
    if (session.info().notes.length > notes.length) throw new Error(session.info().notes.at(-1));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  location.reload();
  return null;
}

/**
 * After a run an engine's threads may spin for a while, on a core that the next engine needs: each turn rests first, and then
 * runs untimed, since whoever has rested wakes up slowly, and on a virtual machine several threads on one core, until the
 * system has moved them apart. The same with one thread as with several, so that these compare.
 */
const kThreadsSpinMs = 250;
const kWakeMs = 100;

/** Engines of the browser compile in the background what runs hot: 40 runs of a small model are over before. */
const kWarmMs = 300;

const isCache = ({ name }) => /^(past|cross)_/.test(name);

/** Writes the new keys and values of a step (1×H×1×W) to their place in the cache (1×H×L×W), as whoever generates text does. */
function append(inputs, outputs) {
  const position = Number(inputs.find(({ name }) => name === 'position')?.data[0]);
  for (const { name, kept, shape } of inputs.filter(isCache)) {
    const [, heads, length, width] = shape;
    const row = outputs[name.replace('past_', '')];
    for (let h = 0; row && h < heads; h++) kept.data.set(row.subarray(h * width, (h + 1) * width), (h * length + position) * width);
  }
}

/** Every engine loaded, warmed up, then run in turn: a round is one run of each. A decoder's cache stays where each engine can keep it. */
async function race({ model, names, threads, rounds }) {
  const { io, inputs } = await feeds(model);
  const sessions = {}, kept = {};
  for (const name of names) {
    sessions[name] = await engines[name](at, model, threads, io);
    kept[name] = inputs.map((port) => (isCache(port) ? { ...port, kept: sessions[name].keep(port) } : port));
  }
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  const once = async (name) => {
    const start = performance.now();
    append(kept[name], await sessions[name].run(kept[name]));
    return performance.now() - start;
  };
  for (const name of names) {
    const start = performance.now(), passed = (ms) => performance.now() > start + ms;
    for (let i = 0; i < 5 || !passed(kWarmMs) || (i < 40 && !passed(5 * kWarmMs)); i++) await once(name);
  }
  const turn = async (name) => {
    await new Promise((resolve) => setTimeout(resolve, kThreadsSpinMs));
    const start = performance.now();
    do await once(name);
    while (performance.now() < start + kWakeMs);
    return once(name);
  };
  for (let round = 0; round < rounds; round++) for (const name of names) samples[name].push(await turn(name));
  return samples;
}

/** A sample of an operator's time takes at least so long: a run of most is over in less than a clock can tell. */
const kSampleMs = 2;
/** Runs before the first sample, until the engine of the browser has optimised what they run. */
const kOperatorWarmMs = 150;
/** What float32 sums in another order may do, as a share of the largest element: that of the zoo's own check. */
const kTolerance = 1e-4;

/** Models of one operator: two engines in turn, a sample of each in a round. */
async function operators({ models, names, threads, rounds }) {
  const results = [];
  for (const model of models) {
    try {
      results.push({ model, ...(await operator(model, names, threads, rounds)) });
    } catch (error) {
      results.push({ model, error: `${error?.name}: ${error?.message}` });
    }
    await post('progress', results.at(-1));
  }
  return results;
}

async function operator(model, names, threads, rounds) {
  const { io, inputs, expected } = await feeds(model);
  const sessions = {}, samples = {}, runs = {}, share = {};
  let steps;
  const sample = async (name, count) => {
    const start = performance.now();
    for (let i = 0; i < count; i++) await sessions[name].run(inputs);
    return (performance.now() - start) / count;
  };
  try {
    for (const name of names) {
      sessions[name] = await engines[name](at, model, threads, io);
      share[name] = errors(await sessions[name].run(inputs), expected).max_error_ratio;
      if (!(share[name] <= kTolerance)) throw new Error(`${name} differs from PyTorch by ${share[name]} of the largest element`);
      const end = performance.now() + kOperatorWarmMs;
      do runs[name] = Math.ceil(kSampleMs / (await sample(name, runs[name] ?? 1)));
      while (performance.now() < end);
      samples[name] = [];
    }
    for (let round = 0; round < rounds; round++) {
      for (const name of round % 2 ? [...names].reverse() : names) {
        if (threads > 1) {
          await new Promise((resolve) => setTimeout(resolve, kThreadsSpinMs));
          await sample(name, runs[name]);
        }
        samples[name].push(await sample(name, runs[name]));
      }
    }
    for (const { profile } of Object.values(sessions)) steps ??= await profile?.(inputs);
  } finally {
    for (const session of Object.values(sessions)) await session.close();
  }
  return { samples, share, steps };
}

try {
  const result = await { cold, race, revisit, operators }[job.kind](job);
  if (result) await post('report', { result });
} catch (error) {
  await post('report', { error: `${error?.name}: ${error?.message}` });
}
