// ./dev bench --operators [--only A,B] [--threads 1,2] [--rounds 20] [--report]: single operators in shapes that networks use
// (zoo/operators/), wasmkiln and onnxruntime-web in turn in one headless page. Writes rows {id, kind, name, threads, ratio,
// median ms and error of each}; with --report also the operators' part of docs/performance.md.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bench, deps, quantile, root } from './pages.js';

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '20' },
    browser: { type: 'string', default: 'chromium' },
    json: { type: 'string', default: join(root, 'build/bench/operators.json') },
    report: { type: 'boolean', default: false },
  },
});
/** One thread is the page's own, for both engines: what a thread costs that waits for another says nothing about kernels. */
const kindOf = (threads) => (threads > 1 ? 'isolated' : 'alone');
const namesOf = (threads) => [threads > 1 ? 'wasmkiln' : 'wasmkiln-alone', 'ort-web'];
/** Models in a page: a browser that has seen many of them is slower to open the next. */
const kPerPage = 30;

const python = (...args) => execFileSync(join(deps, 'venv/bin/python'), ['-W', 'ignore', ...args], { cwd: root, env: { ...process.env, PYTHONPATH: `${root}/py-sdk:${root}`, HF_HUB_OFFLINE: '1' }, stdio: 'inherit' });
console.log('exporting what is not up to date');
python('-m', 'zoo', 'operators', '--out', join(deps, 'models'), '--only', options.only);
const cases = JSON.parse(readFileSync(join(deps, 'models/operators/cases.json'), 'utf8'));
const pages = await bench({ browser: options.browser, onProgress: ({ model, error }) => error && console.log(`  ${model}: ${error}`) });
const rows = [];
for (const threads of options.threads.split(',').map(Number)) {
  for (let at = 0; at < cases.length; at += kPerPage) {
    const part = cases.slice(at, at + kPerPage);
    const results = await pages.run({ kind: 'operators', models: part.map(({ id }) => id), names: namesOf(threads), threads, rounds: Number(options.rounds) }, kindOf(threads));
    results.forEach((result, i) => rows.push(row(part[i], threads, result)));
    console.log(`${at + part.length} of ${cases.length}, ${threads} thread${threads > 1 ? 's' : ''}`);
  }
}
pages.close();

/** What else the machine does only adds, and more where a run changes threads: of the samples a quick one counts. */
function row({ id, kind, name }, threads, { samples, share, steps, error }) {
  if (error) return { id, kind, name, threads, error };
  const names = namesOf(threads);
  const [ms, peer_ms] = names.map((engine) => quantile(samples[engine], 0.1));
  return { id, kind, name, threads, browser: options.browser, ratio: peer_ms / ms, ms, peer_ms, steps_ms: steps.reduce((sum, step) => sum + step.ms, 0), error_ratio: share[names[0]], peer_error_ratio: share[names[1]] };
}

rows.sort((a, b) => (a.ratio ?? 0) - (b.ratio ?? 0));
const ms = (value) => value.toPrecision(3).padStart(8);
for (const { kind, name, threads, ratio, ms: ours, peer_ms: theirs, error } of rows)
  console.log(error ? `failed  ${kind}: ${name}: ${error}` : `${ratio.toFixed(2)}× ${ms(ours)} ${ms(theirs)} ms  ${threads} ${kind}: ${name}`);
mkdirSync(dirname(options.json), { recursive: true });
writeFileSync(options.json, `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`);
console.log(`\n${rows.length} rows in ${options.json}`);
if (options.report) python('bench/operators.py', resolve(options.json));
if (rows.some(({ error }) => error)) process.exitCode = 1;
