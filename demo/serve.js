// Serves the demo with the headers that make a page cross-origin isolated, and prints its address. --check drives it in Chromium.
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { checkPages } from './check.js';

const root = join(import.meta.dirname, '..');
const kFolders = {
  sdk: join(root, 'js-sdk/dist'),
  models: process.env.KILN_MODELS ?? join(root, 'build/deps/models'),
};
const kTypes = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.wasm': 'application/wasm' };
const kHeaders = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cache-Control': 'no-cache' };

function fileOf(url) {
  const path = normalize(decodeURIComponent(new URL(url, 'http://host').pathname));
  const [, first, ...rest] = path.split('/');
  return kFolders[first] ? join(kFolders[first], ...rest) : join(root, 'build/demo', path === '/' ? 'index.html' : path);
}

const server = createServer((request, response) => {
  const file = fileOf(request.url);
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) {
    response.writeHead(404, kHeaders).end('not found');
    return;
  }
  response.writeHead(200, { ...kHeaders, 'Content-Type': kTypes[extname(file)] ?? 'application/octet-stream', 'Content-Length': size });
  createReadStream(file, { highWaterMark: 1 << 20 }).pipe(response);
});
const check = process.argv.includes('--check');
await new Promise((resolve) => server.listen(check ? 0 : Number(process.env.PORT ?? 8080), '127.0.0.1', resolve));
const origin = `http://localhost:${server.address().port}`;
console.log(`${origin}/`);
if (check) {
  process.exitCode = (await checkPages(origin, join(root, 'build/demo-screenshots'))) ? 0 : 1;
  server.closeAllConnections();
  server.close();
}
