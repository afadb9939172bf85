// ./dev bench --tuning: what a search within a budget finds, against every schedule there is, for every kernel of the models. Writes rows
// {model, browser, spec, count, flops, candidates, prior, pick, best, like, priorNs, pickNs, bestNs, likeNs}, a kernel at a time: started again it goes on. --report
// also writes docs/tuning.md.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from '../../js-sdk/node_modules/esbuild/lib/main.js';
import { open } from '../../tests/browser/engines.js';
import { memoryFiles, serve } from '../../tests/browser/server.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'minilm,bert-base,resnet50,mobilenetv2,yolov8n,whisper-encoder' },
    'budget-ms': { type: 'string', default: '2000' },
    browser: { type: 'string', default: 'chromium' },
    json: { type: 'string', default: join(root, 'build/bench/tuning.json') },
    fresh: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
});
const { browser, json } = options;
const budgetMs = Number(options['budget-ms']);
const models = options.models.split(',');

const built = join(root, 'build/bench/search');
await build({ entryPoints: [join(here, 'page.js')], bundle: true, format: 'esm', target: 'es2022', outdir: built, logLevel: 'error' });

function earlier() {
  try {
    return options.fresh ? [] : JSON.parse(readFileSync(json));
  } catch {
    return [];
  }
}
const rows = earlier();
const of = (model, name = browser) => rows.filter((row) => row.model === model && row.browser === name && row.budgetMs === budgetMs);
const save = () => {
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`);
};

let page = null; // of the model that is being measured
const folders = { page: here, built, lab: join(root, 'build/wasm/runtime'), sdk: join(root, 'js-sdk/dist'), models: join(root, 'build/deps/models') };
const server = await serve(folders, (path, body) => {
  const what = path.split('/').at(-2), value = JSON.parse(body);
  if (what === 'done') page.done(value);
  if (what === 'kernels') page.kernels = value.length;
  if (what !== 'kernel') return;
  rows.push({ ...value, browser, budgetMs });
  save();
  const { pickNs, priorNs, bestNs, candidates, pick, best } = value;
  console.log(`  ${of(value.model).length}/${page.kernels} of ${candidates}: pick ${(bestNs / pickNs).toFixed(3)} prior ${(bestNs / priorNs).toFixed(3)} of the best; ${pick} | ${best}`);
}, { inMemory: memoryFiles() });

for (const model of models) {
  console.log(model);
  page = {};
  const done = new Promise((resolve) => (page.done = resolve));
  const job = JSON.stringify({ model, threads: 1, budgetMs, known: of(model).map(({ spec }) => spec) });
  const opened = open(browser, `${server.origin}/isolated/page/page.html?${new URLSearchParams({ job })}`);
  const failure = await done;
  await opened.close();
  if (failure) throw new Error(failure);
  console.log(`  ${line(model, browser).join('  ')}`);
}
server.close();
if (options.report) writeFileSync(join(root, 'docs/tuning.md'), report());

/** Of a model: the kernels' times added up, as often as a run needs each; how much of the best the picks reach. */
function line(model, name) {
  const all = of(model, name).map((row) => ({ ...row, bestNs: Math.min(row.bestNs, row.pickNs, row.priorNs), likeNs: Math.min(row.likeNs, row.pickNs) }));
  const sum = (key) => all.reduce((total, row) => total + row.count * row[key], 0);
  const percent = (part) => `${(100 * part).toFixed(1)}%`;
  const worst = Math.min(...all.map(({ likeNs, pickNs }) => likeNs / pickNs));
  const candidates = all.reduce((total, row) => total + row.candidates, 0);
  return [model, all.length, candidates, (sum('bestNs') / 1e6).toFixed(2), percent(sum('bestNs') / sum('priorNs')), percent(sum('bestNs') / sum('pickNs')), percent(sum('likeNs') / sum('pickNs')), percent(worst)];
}

function report() {
  const git = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  const browsers = [...new Set(rows.map((row) => row.browser))];
  const head = ['model', 'kernels', 'schedules', 'best, ms', 'prior reaches', 'search reaches', '… of those with no larger weights', 'worst kernel of those'];
  const measured = (name) => models.filter((model) => of(model, name).length);
  const section = (name) => `## ${name}\n\n${table(head, measured(name).map((model) => line(model, name)))}`;
  const table = (head, lines) => [head, head.map((_, i) => (i ? '--:' : '---')), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return `# What a search finds

Generated by \`./dev bench --tuning --report\`; do not edit.

A load with a budget of ${budgetMs / 1000} s picks a schedule for every kernel of a model. Then the bench measures every schedule that there is, on one thread:

1. Every schedule gets two single samples.
2. Two dozen of the fastest are measured as the tuner does. Like the samples, this times parts that stand for the kernel.
3. Six of those are measured again, as whole kernels.
4. The pick, the prior's pick and the best of all are measured in turn. The fastest of these counts as the best.

Times are added up over the steps of a model. Kernels with a single schedule do not count, such as those of a decoder's single row.

Some kernels have a best schedule that makes their weights larger (Winograd's algorithm with larger tiles). Neither the prior nor the search takes it: the load and the
memory would pay for it, and a whole run keeps less than the kernel alone promises ([decision 0012](decisions/0012-size-of-winograd-weights.md)). So the last two
columns compare only with schedules whose weights are no larger than the pick's.

Machine: ${cpus()[0].model.trim()}, ${cpus().length} logical cores. Commit ${git}.

${browsers.map(section).join('\n\n')}
`;
}
