// ./dev bench: engines in one headless Chromium page, run in turn; native peers beside it. Writes rows
// {model, engine, threads, metric, value, unit, samples[, browser]}; with --report also docs/performance.md.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bench, deps, quantile, root } from './pages.js';
import { canRun } from './peers.js';

/** Once it is loaded it is wasmkiln: only its first visits are measured. */
const kEarly = 'wasmkiln-early';
const kOurs = ['wasmkiln', kEarly, 'wasmkiln-fast'];
const kBrowserEngines = [...kOurs, 'ort-web', 'tfjs', 'jax-js'];
const kNativeEngines = ['wasmkiln-native', 'ort-native', 'torch'];
const { values: options } = parseArgs({
  options: {
    models: { type: 'string' },
    engines: { type: 'string', default: 'wasmkiln,wasmkiln-early,wasmkiln-fast,ort-web,wasmkiln-native,ort-native,torch' },
    threads: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '20' },
    colds: { type: 'string', default: '5' },
    json: { type: 'string', default: join(root, 'build/bench/latest.json') },
    browser: { type: 'string', default: 'chromium' },
    report: { type: 'boolean', default: false },
  },
});
const list = (text) => text.split(',').filter(Boolean);
/** Of these only runs in a page are compared. */
const kUntuned = list(python(['-c', 'import zoo; print(",".join(zoo.UNTUNED))']).trim());
const kUntunedEngines = ['wasmkiln', 'ort-web'];
/** Files that others made (tools/onnx_wild.py): the .onnx file is what both load. */
const isWild = (model) => model.startsWith('wild/');
const wild = () => readdirSync(join(deps, 'models/wild')).map((name) => `wild/${name}`);
const isCompared = (model) => kUntuned.includes(model) || isWild(model);
const kModels = 'digits,minilm,resnet50,mobilenetv2,bert-base,yolov8n,whisper-encoder,whisper-decoder';
const chosen = list(options.models ?? (options.report ? `${kModels},untuned` : kModels));
const models = chosen.flatMap((model) => (model === 'untuned' ? kUntuned : model === 'wild' ? wild() : [model]));
const [engines, threads] = [list(options.engines), list(options.threads).map(Number)];

const { run: inPage, close } = await bench({ browser: options.browser });
const rows = [];
const units = { ms: 'ms', bytes: 'bytes', error: 'absolute', ratio: 'ratio' };
function add(model, engine, count, metric, samples, value = quantile(samples, 0.5)) {
  const row = { model, engine, threads: count, metric, value, unit: units[metric.split('_').at(-1)], samples: samples.length };
  if (kBrowserEngines.includes(engine)) row.browser = options.browser;
  if (isCompared(model)) row.group = isWild(model) ? 'wild' : 'untuned';
  rows.push(row);
}
function addRuns(model, engine, count, samples) {
  add(model, engine, count, 'run_median_ms', samples);
  add(model, engine, count, 'run_min_ms', samples, Math.min(...samples));
  add(model, engine, count, 'run_p95_ms', samples, quantile(samples, 0.95));
}

function python(args, env = {}) {
  return execFileSync(join(deps, 'venv/bin/python'), ['-W', 'ignore', ...args], {
    cwd: root, env: { ...process.env, PYTHONPATH: root, HF_HUB_OFFLINE: '1', ...env }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
  });
}

const size = (path) => statSync(join(root, path)).size;
/** Bytes of the files that a page asks for, as they lie on the server (uncompressed). */
function downloaded(engine, model) {
  const of = (id, file) => statSync(join(deps, 'models', id, file)).size;
  const [file, compiler] = isWild(model) ? ['model.onnx', 'compiler-onnx.wasm'] : ['model.kiln', 'compiler.wasm'];
  if (kOurs.includes(engine)) return of(model, file) + ['index.js', 'worker.js', compiler].reduce((sum, f) => sum + size(`js-sdk/dist/${f}`), 0);
  const dist = 'bench/web/node_modules/onnxruntime-web/dist';
  return of(model, 'model.onnx') + size(`${dist}/ort.wasm.min.mjs`) + size(`${dist}/ort-wasm-simd-threaded.mjs`) + size(`${dist}/ort-wasm-simd-threaded.wasm`);
}

/** Bytes of weights in the file: what stands behind its head, whose size it begins with. */
function fileWeights(model) {
  const path = join(deps, 'models', model, 'model.kiln');
  const start = Buffer.alloc(4);
  const file = openSync(path);
  readSync(file, start);
  closeSync(file);
  return statSync(path).size - start.length - start.readUInt32LE();
}

/** Where a page's memory goes: packed weights (Winograd's take more room), arena, scratch; and all of it over what no engine could do without. */
function addMemory(model, engine, count, colds) {
  const { weights, arena, scratch } = colds[0].memory;
  const parts = { file_weights_bytes: fileWeights(model), weights_bytes: weights, arena_bytes: arena, scratch_bytes: scratch };
  for (const [metric, bytes] of Object.entries(parts)) add(model, engine, count, metric, [bytes]);
  add(model, engine, count, 'peak_memory_ratio', colds.map((cold) => cold.peak_memory_bytes / (parts.file_weights_bytes + arena)));
}

/** Each load in a browser of its own; the engines take turns, and turns at being first. */
async function loads(kind, model, names, count) {
  const all = Object.fromEntries(names.map((name) => [name, []]));
  const colds = isCompared(model) ? Math.min(1, Number(options.colds)) : Number(options.colds);
  for (let i = 0; i < colds; i++) {
    for (const engine of i % 2 ? [...names].reverse() : names) all[engine].push(await inPage({ kind, model, engine, threads: count }));
  }
  return Object.entries(all).filter(([, loads]) => loads.length);
}

async function coldStarts(model, names, count) {
  for (const [engine, colds] of await loads('cold', model, names, count)) {
    for (const metric of ['first_output_ms', 'peak_memory_bytes', 'max_abs_error', 'max_error_ratio']) add(model, engine, count, metric, colds.map((c) => c[metric]));
    add(model, engine, count, 'downloaded_bytes', [downloaded(engine, model)]);
    if (kOurs.includes(engine) && !isWild(model)) addMemory(model, engine, count, colds);
    printPhases(`cold load of ${engine}`, colds.map((cold) => cold.phases));
  }
  const ours = isCompared(model) ? [] : names.filter((name) => kOurs.includes(name) && name !== kEarly);
  for (const [engine, visits] of await loads('revisit', model, ours, count)) {
    add(model, engine, count, 'second_visit_ms', visits.map((visit) => visit.second_visit_ms));
    printPhases(`second load of ${engine}`, visits.map((visit) => visit.phases));
  }
}

/** Medians of what each phase of a load took, with the time it ended at. */
function printPhases(what, loads) {
  const names = [...new Set(loads.flat().map(({ name }) => name))];
  const median = (values) => quantile(values, 0.5).toFixed(0);
  const parts = names.map((name) => {
    const all = loads.flat().filter((phase) => phase.name === name);
    return `${name} ${median(all.map((p) => p.endMs - p.startMs))} (to ${median(all.map((p) => p.endMs))})`;
  });
  if (parts.length) console.log(`\nms of a ${what}: ${parts.join(', ')}`);
}

/** What each step computes, and how far it may round: the same text where 'fast' is nothing else than the default. */
const plan = (model, precision) => execFileSync(join(root, 'build/native/kiln'), ['dump', join(deps, 'models', model, 'model.kiln'), '--stage', 'plan', '--precision', precision], { encoding: 'utf8', maxBuffer: 1 << 28 });
const canRunHere = { ...canRun, 'wasmkiln-fast': (model) => plan(model, 'fast') !== plan(model, 'balanced') };

for (const model of models) {
  const measured = isCompared(model) ? engines.filter((e) => kUntunedEngines.includes(e)) : engines;
  const names = measured.filter((e) => kBrowserEngines.includes(e) && (canRunHere[e]?.(model) ?? true));
  for (const count of threads) {
    await coldStarts(model, names.filter((e) => !canRun[e]), count);
    const racers = names.filter((e) => e !== kEarly);
    if (racers.length && Number(options.rounds)) {
      const samples = await inPage({ kind: 'race', model, names: racers, threads: count, rounds: Number(options.rounds) });
      for (const name of racers) addRuns(model, name, count, samples[name]);
    }
    for (const engine of measured.filter((e) => kNativeEngines.includes(e))) {
      const output = python(['bench/native.py', engine, model, String(count), options.rounds], { OMP_NUM_THREADS: String(count) });
      const { samples_ms: samples, ...others } = JSON.parse(output.trim().split('\n').at(-1));
      addRuns(model, engine, count, samples);
      for (const [metric, value] of Object.entries(others)) add(model, engine, count, metric, [value]);
    }
    report(model, count);
  }
}
close();
mkdirSync(dirname(options.json), { recursive: true });
writeFileSync(options.json, `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`);
console.log(`\n${rows.length} rows in ${options.json}`);
if (options.report) python(['bench/report.py', resolve(options.json)]);

/** A line per engine, and how it compares with wasmkiln in this run. */
function report(model, count) {
  const value = (engine, metric) => rows.find((r) => r.model === model && r.engine === engine && r.threads === count && r.metric === metric)?.value;
  const reference = engines.includes('wasmkiln') ? 'wasmkiln' : engines[0];
  console.log(`\n${model}, ${count} thread${count > 1 ? 's' : ''}`);
  for (const engine of engines) {
    const [run, first, second, memory, error, share] = ['run_median_ms', 'first_output_ms', 'second_visit_ms', 'peak_memory_bytes', 'max_abs_error', 'max_error_ratio'].map((m) => value(engine, m));
    if (run === undefined && first === undefined) continue;
    const ours = value(reference, 'run_median_ms'), ourFirst = value(reference, 'first_output_ms');
    const parts = [engine.padEnd(15)];
    if (run !== undefined) parts[0] += ` run ${run.toFixed(2)} ms (${(run / ours).toFixed(2)}×)`;
    if (first !== undefined) parts.push(`first output ${first.toFixed(0)} ms (${(first / ourFirst).toFixed(2)}×), memory ${(memory / 1e6).toFixed(0)} MB, error ${error.toExponential(1)} (${share.toExponential(1)} of scale)`);
    if (second !== undefined) parts.push(`second visit ${second.toFixed(0)} ms`);
    console.log(`  ${parts.join(', ')}`);
  }
}
