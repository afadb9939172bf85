// Writes the tiny model and its compilers to a folder, for the tests in real engines.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const folder = process.argv[2];
const here = import.meta.dirname;
const bundled = mkdtempSync(join(here, '../../node_modules/.fakes-'));
try {
  const outfile = join(bundled, 'fakes.mjs');
  const contents = "export * from './fake_compiler.ts'; export * from './tiny_model.ts';";
  await build({ stdin: { contents, resolveDir: here, loader: 'ts' }, bundle: true, format: 'esm', platform: 'node', external: ['wabt'], outfile });
  const { fakeCompiler, modelFile } = await import(pathToFileURL(outfile));
  writeFileSync(join(folder, 'tiny.kiln'), modelFile());
  writeFileSync(join(folder, 'shared.wasm'), fakeCompiler({ shared: true }));
  writeFileSync(join(folder, 'private.wasm'), fakeCompiler({ shared: false }));
  writeFileSync(join(folder, 'greedy.wasm'), fakeCompiler({ shared: false, total: 2 ** 40 }));
} finally {
  rmSync(bundled, { recursive: true });
}
