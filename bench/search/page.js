// One model in one page: what a search within a budget picks, then every schedule of every kernel; pick, prior and the best of all meet
// once more at the end, so that none owes its time to luck.
import { Lab } from './lab.js';

const job = JSON.parse(new URLSearchParams(location.search).get('job'));
const base = new URL('..', location.href);
const at = (path) => new URL(path, base).href;
const post = (what, body) => fetch(at(`${what}/x`), { method: 'POST', body: JSON.stringify(body) });

const kBatch = 32; // candidates of one module
const kScreenMs = 0.1; // a sample of each, twice
const kAgain = 24; // so many of the fastest are measured as the tuner does
const kFinalists = 6;
const kSampleMs = 0.5;
const kMeetings = 4; // of those that are compared in the end

const least = (a, b) => a.map((each, i) => Math.min(each, b[i]));
const fastest = (schedules, ns, count) => schedules.map((s, i) => [s, ns[i]]).sort((a, b) => a[1] - b[1]).slice(0, count).map(([s]) => s);

async function screened(lab, kernel) {
  const all = [];
  for (let i = 0; i < kernel.schedules.length; i += kBatch) {
    const batch = kernel.schedules.slice(i, i + kBatch);
    const first = await lab.time(kernel, batch, kScreenMs, { samples: 1 });
    all.push(...least(first, await lab.time(kernel, batch, kScreenMs, { samples: 1 })));
  }
  return fastest(kernel.schedules, all, Infinity);
}

async function meet(lab, kernel, schedules) {
  const distinct = [...new Set(schedules)];
  let ns = distinct.map(() => Infinity);
  for (let i = 0; i < kMeetings; i++) ns = least(ns, await lab.time(kernel, distinct, kSampleMs, { whole: true }));
  return schedules.map((schedule) => ns[distinct.indexOf(schedule)]);
}

/** Weights are larger the larger the tiles of Winograd's algorithm are. */
const weightsOf = (schedule) => Number(/^winograd(\d)/.exec(schedule)?.[1] ?? 0);

/** `like`: the best of those that make the weights no larger than the pick does. */
async function exhaust(lab, kernel, pick) {
  const order = await screened(lab, kernel);
  const bestOf = async (schedules) => {
    const again = schedules.slice(0, kAgain);
    const finalists = fastest(again, await lab.time(kernel, again, kSampleMs), kFinalists);
    return fastest(finalists, await meet(lab, kernel, finalists), 1)[0];
  };
  const best = await bestOf(order);
  const like = weightsOf(best) > weightsOf(pick) ? await bestOf(order.filter((each) => weightsOf(each) <= weightsOf(pick))) : best;
  const [pickNs, priorNs, bestNs, likeNs] = await meet(lab, kernel, [pick, kernel.prior, best, like]);
  return { candidates: kernel.schedules.length, best, like, pickNs, priorNs, bestNs, likeNs };
}

async function main() {
  const { loadModel } = await import(at('sdk/index.js'));
  const { model, threads, budgetMs, known } = job;
  const url = at(`models/${model}/model.kiln`);
  const tuned = await loadModel(url, { threads, wisdomStore: false, cache: false, tuning: { budgetMs } });
  const info = tuned.info();
  tuned.dispose();
  const lab = await Lab.create(at('lab/kiln_lab.wasm'));
  const kernels = lab.open(await (await fetch(url)).arrayBuffer(), info);
  await post('kernels', kernels.map(({ spec }) => spec));
  for (const kernel of kernels.filter(({ spec }) => !known.includes(spec)).sort((a, b) => b.flops * b.count - a.flops * a.count)) {
    const { schedule: pick, origin } = info.kernels.find(({ spec }) => spec === kernel.spec);
    const { spec, count, flops, prior } = kernel;
    await post('kernel', { model, spec, count, flops, prior, pick, origin, tuneMs: info.timings.tuneMs, ...(await exhaust(lab, kernel, pick)) });
  }
}

await main().then(() => post('done', null), (error) => post('done', String(error?.stack ?? error)));
