// The package as npm packs it, in a page built by each of the ways of docs/howto/bundlers.md that need no further packages.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { installed, kBrowsers, open } from './engines.js';
import { serve } from './server.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const digits = join(process.env.KILN_MODELS ?? join(root, 'build/deps/models'), 'digits');
const work = join(root, 'build/bundlers');
const source = join(work, 'source');
const installedPackage = join(source, 'node_modules/wasmkiln');
const fromSdk = createRequire(join(root, 'js-sdk/package.json'));

rmSync(work, { recursive: true, force: true });
mkdirSync(installedPackage, { recursive: true });
cpSync(join(here, 'bundled'), source, { recursive: true });
const [packed] = JSON.parse(execFileSync('npm', ['pack', '--json', '--pack-destination', work], { cwd: join(root, 'js-sdk'), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
execFileSync('tar', ['xzf', join(work, packed.filename), '-C', installedPackage, '--strip-components=1']);

/** Beside what index.html and the bundler put there. */
const copy = (files, to) => files.forEach((file) => cpSync(join(installedPackage, 'dist', file), join(to, file)));

const kBuilds = {
  'no bundler': (out) => {
    cpSync(source, out, { recursive: true, filter: (path) => !path.endsWith('node_modules') });
    mkdirSync(join(out, 'wasmkiln'));
    copy(['index.js', 'roles.js', 'worker.js', 'compiler.wasm', 'compiler-full.wasm'], join(out, 'wasmkiln'));
    cpSync(join(here, 'bundled/import_map.html'), join(out, 'index.html'));
  },
  esbuild: async (out) => {
    cpSync(join(source, 'index.html'), join(out, 'index.html'));
    await fromSdk('esbuild').build({ entryPoints: [join(source, 'main.js')], outdir: out, bundle: true, format: 'esm', splitting: true, minify: true, target: 'es2022', logLevel: 'error' });
    copy(['worker.js', 'compiler.wasm', 'compiler-full.wasm'], out);
  },
  Vite: async (out) => {
    const { build } = await import(fromSdk.resolve('vite'));
    await build({ root: source, base: './', configFile: false, logLevel: 'error', build: { outDir: out, emptyOutDir: true, target: 'es2022' } });
  },
};

let report = () => undefined;
const server = await serve({ app: work }, (path, body) => report(JSON.parse(body)));
after(() => server.close());

async function answerOf(engine, folder, kind) {
  const late = new Promise((resolve) => setTimeout(() => resolve({ error: 'no answer after two minutes' }), 120_000).unref());
  const answer = new Promise((resolve) => (report = resolve));
  const browser = open(engine, `${server.origin}/${kind}/app/${encodeURIComponent(folder)}/index.html`);
  try {
    return await Promise.race([answer, late]);
  } finally {
    await browser.close();
  }
}

/** What the engine itself lacks, and what each kind of page does. */
const kLacks = { chromium: [], firefox: [], webkit: ['relaxedSimd', 'sharedMemory'] };
const kKinds = { isolated: [], plain: ['sharedMemory'], 'no-workers': ['sharedMemory', 'workers'] };
const wanted = (process.env.KILN_ENGINES ?? Object.keys(kBrowsers).join()).split(',');
const engines = Object.keys(kBrowsers).filter((engine) => wanted.includes(engine));

const skip = !existsSync(digits) && 'the model is not exported';
for (const [name, make] of Object.entries(kBuilds)) {
  test(name, { skip }, async (t) => {
    const out = join(work, name);
    mkdirSync(out, { recursive: true });
    await make(out);
    cpSync(digits, out, { recursive: true });
    for (const engine of engines)
      for (const [kind, missing] of Object.entries(kKinds)) {
        await t.test(`${engine}, ${kind}`, { skip: !installed(engine) && 'not installed' }, async () => {
          const answer = await answerOf(engine, name, kind);
          assert.equal(answer.error, undefined);
          assert.ok(answer.difference < 1e-4, `differs by ${answer.difference}`); // logits of about 10; sums in another order
          assert.deepEqual(answer.missing.sort(), [...new Set([...kLacks[engine], ...missing])].sort());
          assert.ok((kind === 'isolated' && engine !== 'webkit') || answer.threads === 1);
          assert.equal(answer.fetched, 1, 'the compiler is fetched once');
        });
      }
  });
}
