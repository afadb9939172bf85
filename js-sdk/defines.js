// What the sources take from the build of the wasm preset.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

const at = (path) => new URL(path, import.meta.url).pathname;
const wasm = process.env.KILN_WASM ?? at('../build/wasm/runtime');
export const compiler = `${wasm}/kiln_compiler.wasm`;
export const fullCompiler = `${wasm}/kiln_compiler_full.wasm`;

/** Names this build: what an older one has cached is of no use to it. */
function buildId() {
  const hash = createHash('sha256').update(readFileSync(compiler)).update(readFileSync(fullCompiler));
  for (const file of readdirSync(at('src'), { recursive: true }).sort()) if (file.endsWith('.ts')) hash.update(readFileSync(at(`src/${file}`)));
  return hash.digest('hex').slice(0, 16);
}

/** `worker`: the file of the workers, from the SDK's own. */
export const defines = (worker = './worker.js') => ({
  __KILN_WORKER__: JSON.stringify(worker),
  __KILN_BUILD__: JSON.stringify(buildId()),
  __KILN_DIGEST__: JSON.stringify(readFileSync(`${wasm}/kiln_digest.wasm`, 'base64')),
});
