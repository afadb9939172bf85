// build/demo/: the pages with their scripts bundled. The SDK is not bundled: pages import it as any page would.
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
const out = join(here, '../build/demo');
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const external = { name: 'sdk', setup: ({ onResolve }) => onResolve({ filter: /^wasmkiln$/ }, () => ({ path: '/sdk/index.js', external: true })) };
await build({ entryPoints: ['digits', 'sentences', 'any'].map((page) => join(here, `src/${page}.js`)), outdir: out, bundle: true, format: 'esm', minify: true, target: 'es2022', plugins: [external] });
for (const file of ['index.html', 'sentences.html', 'any.html', 'style.css']) cpSync(join(here, 'src', file), join(out, file));
