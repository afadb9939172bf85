// dist/: index.js (the SDK), worker.js (every worker), roles.js (the same code for pages without workers), types, and the compiler.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

const root = new URL('.', import.meta.url);
const at = (path) => new URL(path, root).pathname;
const compiler = process.env.KILN_COMPILER_WASM ?? at('../build/wasm/runtime/kiln_compiler.wasm');

rmSync(at('dist'), { recursive: true, force: true });
// The page loads the roles only where it has no workers.
const keepRoles = {
  name: 'keep-roles',
  setup: ({ onResolve }) => onResolve({ filter: /\/roles\.js$/ }, () => ({ path: './roles.js', external: true })),
};
// Names this build: what an older one has cached is of no use to it.
function buildId() {
  const hash = createHash('sha256').update(readFileSync(compiler));
  for (const file of readdirSync(at('src'), { recursive: true }).sort()) if (file.endsWith('.ts')) hash.update(readFileSync(at(`src/${file}`)));
  return hash.digest('hex').slice(0, 16);
}
const define = { __KILN_BUILD__: JSON.stringify(existsSync(compiler) ? buildId() : null) };
const common = { define, bundle: true, format: 'esm', target: 'es2022', minify: true, keepNames: false, sourcemap: true, legalComments: 'none' };
await build({ ...common, entryPoints: [at('src/index.ts')], outdir: at('dist'), plugins: [keepRoles] });
await build({ ...common, entryPoints: [at('src/worker.ts'), at('src/roles.ts')], outdir: at('dist') });
execFileSync(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.types.json')], { stdio: 'inherit' });
if (existsSync(compiler)) copyFileSync(compiler, at('dist/compiler.wasm'));
else console.warn(`no compiler at ${compiler}: build the wasm preset first, or set KILN_COMPILER_WASM`);
