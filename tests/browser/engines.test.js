// The SDK in real engines: every case of cases.js is one test per engine and kind of page.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { runCases } from './cases.js';
import { installed, open, usage } from './engines.js';
import { preludeOf } from './prelude.js';
import { checkTable } from './reliability.js';
import { serve } from './server.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const sdk = join(root, 'js-sdk/dist');
const fakes = join(root, 'build/browser-tests');
const models = process.env.KILN_MODELS ?? join(root, 'build/deps/models');
const only = process.env.KILN_ONLY ?? '';
const pages = process.env.KILN_PAGES ?? '';
const engines = (process.env.KILN_ENGINES ?? 'node,chromium,firefox,webkit').split(',');

if (!existsSync(join(sdk, 'index.js'))) throw new Error('build js-sdk first: npm run build in js-sdk');
mkdirSync(fakes, { recursive: true });
process.env.XDG_CACHE_HOME = mkdtempSync(join(tmpdir(), 'kiln-cache-')); // wisdom of the tiny model is no one's
execFileSync(process.execPath, [join(root, 'js-sdk/tests/support/write_fakes.js'), fakes]);

const python = join(root, 'build/deps/venv/bin/python');
const generated = existsSync(python);
for (const script of generated ? ['dynamic.py', 'shared_weights.py', 'far_memory.py', 'extremes.py', 'onnx_file.py', 'rare.py'] : [])
  execFileSync(python, ['-W', 'ignore', join(here, script), fakes], { env: { ...process.env, PYTHONPATH: `${join(root, 'py-sdk')}:${root}` } });

const compiled = existsSync(join(sdk, 'compiler.wasm'));
const real = compiled && existsSync(models) ? readdirSync(models).filter((id) => existsSync(join(models, id, 'model.kiln'))) : [];

const reports = new Map();
const marks = new Map();
function growth(id, name, measured) {
  const before = marks.get(id);
  if (name === 'before') marks.set(id, measured);
  else if (before) return Object.fromEntries(Object.entries(before).map(([what, had]) => [what, measured[what] - had]));
  return null;
}
const server = await serve({ page: here, sdk, fakes, models }, (path, body) => {
  const [action, id] = path.split('/').slice(-2);
  if (action === 'report') reports.get(id)?.done(JSON.parse(body));
  else if (action === 'progress') reports.get(id)?.told(JSON.parse(body));
  else if (action === 'mark') return growth(id, JSON.parse(body), reports.get(id).browser.usage());
  return null;
});

const kMostStuck = 3;
const kPageMs = 900_000;
/** Longer than a case may take by itself. A page that says nothing for so long does nothing any more. */
const kStuckMs = 330_000, kStuckAtFaultMs = 150_000;

/** A page that stands still at a case has failed it; another one goes on behind it. */
async function inBrowser(engine, page) {
  const results = [];
  for (let after = '', visits = 0; after !== null && visits < kMostStuck; visits++) {
    const { found, stuck } = await visit(engine, page, after);
    results.push(...found);
    if (stuck) results.push({ name: stuck, error: visits + 1 < kMostStuck ? 'the page stands still' : `the page stands still, as ${visits} before it: what follows was not tried` });
    after = stuck;
  }
  return results;
}

/** What was found, and the case at which the page stands still if it does. */
async function visit(engine, { kind, page = 'page', expects, sdkOrigin = server.origin, models: ids = [], ...wants }, after) {
  const id = `${engine}-${kind}-${reports.size}`;
  const report = {};
  const found = [];
  let stuck = 'the page', timer;
  const finished = new Promise((resolve) => {
    const late = () => resolve({ found, stuck });
    const wait = () => (timer = setTimeout(late, wants.faults ? kStuckAtFaultMs : kStuckMs).unref());
    report.told = ({ began, ...result }) => {
      clearTimeout(timer);
      wait();
      if (began) stuck = began;
      else found.push(result);
    };
    report.done = (all) => resolve({ found: all, stuck: null });
    setTimeout(late, kPageMs).unref();
    wait();
  });
  reports.set(id, report);
  const parameters = new URLSearchParams({ id, engine, only, after, sdk: `${sdkOrigin}/${kind}/sdk/index.js`, expects: JSON.stringify(expects), models: JSON.stringify(ids), wants: JSON.stringify(wants) });
  report.browser = open(engine, `${server.origin}/${kind}/page/${page}.html?${parameters}`);
  try {
    return await finished;
  } finally {
    await report.browser.close();
  }
}

async function inNode() {
  const relaxedSimd = Number(process.versions.node.split('.')[0]) >= 22;
  const { loadModel, Tensor } = await import(pathToFileURL(join(sdk, 'index.node.js')));
  const mark = (name) => growth('node', name, usage([process.pid]));
  return runCases({ sdk: { loadModel, Tensor }, base: `${server.origin}/plain/`, engine: 'node', expects: { sharedMemory: true, relaxedSimd, workers: true }, models: real, generated, mark, only });
}

const variants = [];
/** The SDK as a folder in which one file is missing, or has a prelude. */
async function variantForNode(file, how) {
  const folder = mkdtempSync(join(fakes, 'variant-'));
  cpSync(sdk, folder, { recursive: true });
  const path = join(folder, file.replace(/\.js$/, '.node.js'));
  if (how === 'missing') rmSync(path);
  else writeFileSync(path, preludeOf(how) + readFileSync(path));
  variants.push(folder);
  return import(pathToFileURL(join(folder, 'index.node.js')));
}

async function faultsInNode() {
  const { loadModel, Tensor } = await import(pathToFileURL(join(sdk, 'index.node.js')));
  return runCases({ sdk: { loadModel, Tensor }, base: `${server.origin}/plain/`, engine: 'node', expects: { sharedMemory: true, workers: true }, models: real, variant: variantForNode, faults: true, only });
}

/** What Node prints of an error that nobody catches: the line that throws, and names that mean something. */
function uncaught() {
  const script = `import { loadModel } from ${JSON.stringify(pathToFileURL(join(sdk, 'index.node.js')).href)}; await loadModel(5);`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  const right = stderr.length < 3000 && stderr.includes('throw new KilnError(') && /^KilnError: loadModel takes/m.test(stderr) && stderr.includes("code: 'bad-option'");
  return [{ name: 'prints an uncaught error so that it can be read', error: right ? undefined : `${stderr.length} characters: ${stderr.slice(0, 3000)}` }];
}

const outcomes = {}; // engine → fault → what a user gets
async function each(t, results, engine) {
  for (const { name, note, error, ms } of results) {
    if (/^(fault: |loads again for who)/.test(name)) (outcomes[engine] ??= {})[name.replace('fault: ', '')] = error ? 'fails' : note;
    const words = [note, ms === undefined ? '' : `${ms} ms`].filter(Boolean).join(', ');
    await t.test(words ? `${name} (${words})` : name, () => {
      if (error) throw new Error(error);
    });
  }
}

/** Where workers start in another way than from a script of the page's origin. */
const elsewhere = server.origin.replace('localhost', '127.0.0.1');
const started = { models: real.filter((id) => id === 'digits'), cases: ['says what the environment', 'again and again', 'bytes and blobs', 'stops a run', 'ends cleanly', 'digits agrees', 'insists on its file'] };

/** Of every engine: what its workers can do alone, and what they can do in an isolated page. */
const pagesOf = (alone, isolated) => [
  { name: 'no worker.js', kind: 'unserved', expects: { ...alone, workers: false }, without: 'network', cases: ['blocks no page'] },
  { name: 'SDK from another origin, isolated', kind: 'isolated', sdkOrigin: elsewhere, expects: isolated, ...started, cases: [...started.cases, 'a second visit'] },
  { name: 'SDK from another origin', kind: 'plain', sdkOrigin: elsewhere, expects: alone, ...started },
  { name: 'a sandboxed frame, isolated', kind: 'isolated', page: 'frame', expects: alone, ...started },
  { name: 'a sandboxed frame', kind: 'plain', page: 'frame', expects: alone, ...started },
  { name: 'with a service worker', kind: 'plain', expects: alone, serviceWorker: true, cases: ['only a service worker'] },
  { name: 'who comes back', kind: 'returns', page: 'returns', expects: alone },
];
const kAlone = { sharedMemory: false, relaxedSimd: true, workers: true };
const kIsolated = { ...kAlone, sharedMemory: true };
const kWebKit = { ...kAlone, relaxedSimd: false };

const kFaults = { name: 'what goes wrong on purpose', kind: 'isolated', faults: true, models: real };
const kPages = {
  chromium: [
    { name: 'isolated', kind: 'isolated', expects: kIsolated, models: real, generated, precisions: true },
    { name: 'not isolated', kind: 'plain', expects: kAlone, models: real.slice(0, 2), generated },
    { name: 'workers forbidden', kind: 'no-workers', expects: { ...kAlone, workers: false }, without: 'unsupported-environment' },
    { ...kFaults, expects: kIsolated },
    ...pagesOf(kAlone, kIsolated),
  ],
  firefox: [
    { name: 'isolated', kind: 'isolated', expects: kIsolated, models: real, generated },
    { name: 'not isolated', kind: 'plain', expects: kAlone },
    { ...kFaults, expects: kIsolated },
    ...pagesOf(kAlone, kIsolated),
  ],
  webkit: [{ name: 'as it is', kind: 'isolated', expects: kWebKit, models: real, generated }, { ...kFaults, expects: kWebKit }, ...pagesOf(kWebKit, kWebKit)],
};

test('engines', { concurrency: 1 }, async (t) => {
  if (availableParallelism() < 2) t.diagnostic('one core: threads take turns');
  if (engines.includes('node')) await t.test(`Node ${process.versions.node}`, async (t) => each(t, [...uncaught(), ...(pages ? [] : await inNode()), ...(await faultsInNode())], 'node'));
  for (const engine of engines.filter((name) => kPages[name])) {
    if (!installed(engine)) {
      await t.test(engine, { skip: 'not installed' }, () => undefined);
      continue;
    }
    for (const page of kPages[engine].filter(({ name }) => name.includes(pages))) await t.test(`${engine}: ${page.name}`, async (t) => each(t, await inBrowser(engine, page), engine));
  }
  await t.test('docs/reliability.md says what was found', () => checkTable(join(root, 'docs/reliability.md'), outcomes, !only && !pages));
  server.close();
  for (const folder of [process.env.XDG_CACHE_HOME, ...variants]) rmSync(folder, { recursive: true });
});
