// Serves the SDK, the cases and the models to the engines under test, and takes their reports.
//   /isolated/…  with COOP/COEP: shared memory         /plain/…  without         /no-workers/…  a CSP that forbids workers        /alone/…  such a one with COOP/COEP, whose clock is finer
//   /stall       a file that stops half-way             /html     an index page where a model should be      /mute     no answer at all
//   /waiting     which faulty files somebody waits for     /asked     the names of all files that were asked for
//   /slow/…      any file in pieces; ?ms=… apart            /breaks/…  any file, each connection to which breaks after a while; ranges go on
//   /faulty/FILE/HOW/…  any file, but to one that is called FILE something happens: below, or what prelude.js knows
//   /unserved/…  a page whose server has no time for worker.js                /returns/…  a page that a browser may keep for who comes back
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, extname, join, normalize } from 'node:path';
import { preludeOf } from './prelude.js';

const kTypes = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.json': 'application/json', '.wasm': 'application/wasm' };
const kIsolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

const kNoWorkers = { 'Content-Security-Policy': "worker-src 'none'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'" };

export const kPageHeaders = {
  isolated: kIsolation,
  plain: {},
  unserved: {},
  returns: {},
  'no-workers': kNoWorkers,
  alone: { ...kIsolation, ...kNoWorkers },
};

function sendFile(response, path, headers, inMemory) {
  let size;
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new Error('not a file');
    size = stat.size;
  } catch {
    response.writeHead(404, headers).end('not found');
    return;
  }
  response.writeHead(200, { ...headers, 'Content-Type': kTypes[extname(path)] ?? 'application/octet-stream', 'Content-Length': size });
  if (inMemory) response.end(inMemory(path));
  else createReadStream(path, { highWaterMark: 1 << 20 }).pipe(response);
}

/** Gives files from memory, where they stay once they were read: a measurement shall not be one of the disk. */
export function memoryFiles() {
  const files = new Map();
  return (path) => {
    if (!files.has(path)) files.set(path, readFileSync(path));
    return files.get(path);
  };
}

/** Half of what is asked for, at most a megabyte; then the connection is gone. */
function sendBroken(request, response, path, headers) {
  const bytes = readFileSync(path);
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const partial = from > 0 && [undefined, '"1"'].includes(request.headers['if-range']);
  const rest = bytes.subarray(partial ? from : 0);
  const last = rest.length <= 64;
  response.writeHead(partial ? 206 : 200, { ...headers, ETag: '"1"', 'Last-Modified': 'Tue, 01 Jan 2030 00:00:00 GMT', 'Content-Length': rest.length, ...(partial ? { 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}) });
  if (last) response.end(rest);
  else response.write(rest.subarray(0, Math.min(rest.length / 2, 1 << 20)), () => setTimeout(() => response.destroy(), 100));
}

/** Files that somebody waits for in vain, one name for each connection. */
const waiting = [];
/** Who waits in vain is let go some time: scripts of modules and workers cannot be given up, and a page has six connections to a server. */
const kLetGoMs = 20_000;

function inVain(response, file, letGo) {
  waiting.push(file);
  const timer = setTimeout(letGo, kLetGoMs);
  response.once('close', () => {
    clearTimeout(timer);
    waiting.splice(waiting.indexOf(file), 1);
  });
}

/** What may happen to a file. */
const kFaults = {
  503: (response, headers) => response.writeHead(503, headers).end('busy'),
  missing: (response, headers) => response.writeHead(404, headers).end('not found'),
  mute: (response, headers, _, { file }) => inVain(response, file, () => response.writeHead(503, headers).end()),
  stalls: (response, headers, bytes, { file }) => {
    response.writeHead(200, { ...headers, 'Content-Length': bytes.length + 1 }).write(bytes.subarray(0, 10));
    inVain(response, file, () => response.destroy());
  },
  gone: (response) => response.destroy(),
  /** No more than a part, however often it is asked for. */
  half: (response, headers, bytes, { range }) => (range ? response.destroy() : response.writeHead(200, { ...headers, ETag: '"1"', 'Content-Length': bytes.length }).write(bytes.subarray(0, 150), () => setTimeout(() => response.destroy(), 50))),
};

function sendFaulty(request, response, path, headers, how) {
  const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(100);
  const typed = { ...headers, 'Content-Type': kTypes[extname(path)] ?? 'application/octet-stream' };
  if (kFaults[how]) kFaults[how](response, typed, bytes, { file: basename(path), range: request.headers.range });
  else response.writeHead(200, typed).end(preludeOf(how) + bytes);
}

const kPieces = 40, kPieceMs = 10;
async function sendSlowly(response, path, headers, ms) {
  const bytes = readFileSync(path);
  response.writeHead(200, { ...headers, 'Content-Length': bytes.length });
  for (let i = 0; i < kPieces; i++) {
    response.write(bytes.subarray((i / kPieces) * bytes.length, ((i + 1) / kPieces) * bytes.length));
    await new Promise((resolve) => setTimeout(resolve, ms));
  }
  response.end();
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Names of files, in the order in which they were asked for. */
const asked = [];

/** `roots`: first path part after the page kind → folder. `onPost(path, body)` answers what a page posts. */
export async function serve(roots, onPost, { inMemory } = {}) {
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://host');
    const [, kind, root, ...rest] = pathname.split('/').map(decodeURIComponent);
    const headers = { ...kPageHeaders[kind], 'Cross-Origin-Resource-Policy': 'cross-origin', 'Access-Control-Allow-Origin': '*', 'Cache-Control': kind === 'returns' ? 'no-cache' : 'no-store', 'Service-Worker-Allowed': '/' };
    if (root !== 'asked') asked.push(basename(pathname));
    if (request.method === 'POST') {
      const answer = (await onPost(pathname, await bodyOf(request))) ?? null;
      response.writeHead(200, { ...headers, 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
    } else if (root === 'stall') {
      response.writeHead(200, { ...headers, 'Content-Length': 1000 });
      response.write('half');
    } else if (root === 'mute') {
      // accepted, and never answered
    } else if (root === 'waiting') {
      response.writeHead(200, { ...headers, 'Content-Type': 'application/json' }).end(JSON.stringify(waiting));
    } else if (root === 'asked') {
      response.writeHead(200, { ...headers, 'Content-Type': 'application/json' }).end(JSON.stringify(asked));
    } else if (root === 'html') {
      response.writeHead(200, { ...headers, 'Content-Type': 'text/html' }).end('<!doctype html><title>Welcome</title>');
    } else if (root === 'slow' && roots[rest[0]]) {
      await sendSlowly(response, join(roots[rest[0]], normalize(`/${rest.slice(1).join('/')}`)), headers, searchParams.get('ms') ?? kPieceMs);
    } else if (root === 'breaks' && roots[rest[0]]) {
      sendBroken(request, response, join(roots[rest[0]], normalize(`/${rest.slice(1).join('/')}`)), headers);
    } else if (root === 'faulty' && roots[rest[2]]) {
      const [file, how, from, ...path] = rest;
      const full = join(roots[from], normalize(`/${path.join('/')}`));
      if (basename(full) === file) sendFaulty(request, response, full, headers, how);
      else sendFile(response, full, headers, inMemory);
    } else if (kind === 'unserved' && rest.at(-1)?.startsWith('worker')) {
      response.writeHead(503, headers).end('busy');
    } else if (roots[root] && kPageHeaders[kind]) {
      sendFile(response, join(roots[root], normalize(`/${rest.join('/')}`)), headers, inMemory);
    } else {
      response.writeHead(404, headers).end('not found');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://localhost:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
