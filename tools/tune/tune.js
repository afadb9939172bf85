// What `kiln tune --browser` runs: MODEL BROWSER THREADS PRECISION BUDGET_MS. Measures in the browser, prints the wisdom.
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installed, open } from '../../tests/browser/engines.js';
import { serve } from '../../tests/browser/server.js';

const here = dirname(fileURLToPath(import.meta.url));
const [model, browser, threads, precision, budgetMs] = process.argv.slice(2);
if (!installed(browser)) fail(`${browser} is not installed`);

function fail(why) {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

let report;
const reported = new Promise((done) => (report = done));
const path = resolve(model);
const server = await serve({ page: here, sdk: join(here, '../../js-sdk/dist'), model: dirname(path) }, (to, body) => {
  report({ what: to.split('/').at(-1), body });
});
const options = { threads: Number(threads), precision, tuning: { budgetMs: Number(budgetMs) } };
const query = new URLSearchParams({ job: JSON.stringify({ file: basename(path), options }) });
const page = open(browser, `${server.origin}/isolated/page/page.html?${query}`);
const late = new Promise((done) => setTimeout(() => done({ what: 'error', body: 'no report from the browser' }), Number(budgetMs) + 120_000).unref());
const { what, body } = await Promise.race([reported, late]);
await page.close();
server.close();
if (what === 'error') fail(body);
process.stdout.write(body);
