// dist/: index.js (the SDK), worker.js (every worker), roles.js (the same code for pages without workers), types, the compiler, the licences.
import { execFileSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { build } from 'esbuild';
import { compiler, defines } from './defines.js';

const root = new URL('.', import.meta.url);
const at = (path) => new URL(path, root).pathname;

rmSync(at('dist'), { recursive: true, force: true });
// The page loads the roles only where it has no workers.
const keepRoles = {
  name: 'keep-roles',
  setup: ({ onResolve }) => onResolve({ filter: /\/roles\.js$/ }, () => ({ path: './roles.js', external: true })),
};
const common = { define: defines(), bundle: true, format: 'esm', target: 'es2022', minify: true, keepNames: false, sourcemap: true, legalComments: 'none' };
await build({ ...common, entryPoints: [at('src/index.ts')], outdir: at('dist'), plugins: [keepRoles] });
await build({ ...common, entryPoints: [at('src/worker.ts'), at('src/roles.ts')], outdir: at('dist') });
execFileSync(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.types.json')], { stdio: 'inherit' });
copyFileSync(compiler, at('dist/compiler.wasm'));
copyFileSync(at('../LICENSE'), at('dist/LICENSE'));
copyFileSync(at('NOTICE'), at('dist/NOTICE'));
