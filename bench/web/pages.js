// Measurements in pages of a headless browser: each job is a page that reports once.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { open } from '../../tests/browser/engines.js';
import { memoryFiles, serve } from '../../tests/browser/server.js';

const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, '../..');
export const deps = join(root, 'build/deps');

const sorted = (samples) => [...samples].sort((a, b) => a - b);
export const quantile = (samples, q) => sorted(samples)[Math.min(samples.length - 1, Math.floor(samples.length * q))];

/** run(job, kind) → what page.js makes of it in a page of that kind; `onProgress` gets what a page says on the way. */
export async function bench({ browser, onProgress = () => {} }) {
  const pages = new Map();
  const roots = { page: here, sdk: join(root, 'js-sdk/dist'), models: join(deps, 'models'), ort: join(here, 'node_modules/onnxruntime-web/dist'), modules: join(here, 'node_modules') };
  const server = await serve(roots, (path, body) => {
    const [what, id] = path.split('/').slice(-2);
    const page = pages.get(id);
    if (what === 'report') page.done(JSON.parse(body));
    if (what === 'progress') onProgress(JSON.parse(body));
    if (what !== 'mark') return null;
    const now = page.browser.usage().bytes;
    if (JSON.parse(body) === 'before') page.before = now;
    return { bytes: now - page.before };
  }, { inMemory: memoryFiles() });

  async function run(job, kind = 'isolated') {
    const id = String(pages.size);
    const page = {};
    const report = new Promise((resolve) => (page.done = resolve));
    pages.set(id, page);
    const query = new URLSearchParams({ id, job: JSON.stringify(job) });
    page.browser = open(browser, `${server.origin}/${kind}/page/page.html?${query}`);
    const late = new Promise((resolve) => setTimeout(() => resolve({ error: 'no report after 10 minutes' }), 600_000).unref());
    const { result, error } = await Promise.race([report, late]);
    await page.browser.close();
    if (error) throw new Error(`${JSON.stringify(job)}: ${error}`);
    return result;
  }
  return { run, close: server.close };
}
