// dist/: index.js (the SDK), worker.js (every worker), roles.js (the same code for pages without workers), the same three as Node
// takes them, which can be read (*.node.js), the types of what is exported, the compilers, the licences.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateDtsBundle } from 'dts-bundle-generator';
import { build } from 'esbuild';
import { compiler, defines, fullCompiler } from './defines.js';

const root = new URL('.', import.meta.url);
const at = (path) => new URL(path, root).pathname;

rmSync(at('dist'), { recursive: true, force: true });
const kKinds = {
  '.js': { minify: true },
  '.node.js': { platform: 'node', banner: { js: "// Readable on purpose: Node prints the line where an error is thrown." } },
};
for (const [extension, options] of Object.entries(kKinds)) {
  // The page loads the roles only where it has no workers.
  const keepRoles = {
    name: 'keep-roles',
    setup: ({ onResolve }) => onResolve({ filter: /\/roles\.js$/ }, () => ({ path: `./roles${extension}`, external: true })),
  };
  const common = { define: defines(`./worker${extension}`), bundle: true, format: 'esm', target: 'es2022', outExtension: { '.js': extension }, sourcemap: true, legalComments: 'none', outdir: at('dist'), ...options };
  await build({ ...common, entryPoints: [at('src/index.ts')], plugins: [keepRoles] });
  await build({ ...common, entryPoints: [at('src/worker.ts'), at('src/roles.ts')] });
}
writeTypes(at('dist/index.d.ts'));
copyFileSync(compiler, at('dist/compiler.wasm'));
copyFileSync(fullCompiler, at('dist/compiler-full.wasm'));
copyFileSync(at('../LICENSE'), at('dist/LICENSE'));
copyFileSync(at('NOTICE'), at('dist/NOTICE'));

/** One file of declarations: what a user may name, and nothing internal. */
function writeTypes(file) {
  const each = mkdtempSync(join(tmpdir(), 'wasmkiln-types-'));
  execFileSync(process.execPath, [at('node_modules/typescript/bin/tsc'), '-p', at('tsconfig.types.json'), '--outDir', each], { stdio: 'inherit' });
  const [types] = generateDtsBundle([{ filePath: join(each, 'index.d.ts'), output: { noBanner: true, exportReferencedTypes: false } }], { preferredConfigPath: at('tsconfig.types.json') });
  // Symbol.dispose, for a page whose `lib` is older than it.
  writeFileSync(file, `/// <reference lib="esnext.disposable" />\n${types}`);
  rmSync(each, { recursive: true });
}
