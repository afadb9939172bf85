// Real models: their outputs against PyTorch's, within 1e-4 of the output's largest magnitude (float32 sums in another order).
const kTolerance = 1e-4;
const kArrays = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array };

async function read(url, { dtype }) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return new kArrays[dtype](await response.arrayBuffer());
}

function compare(name, got, expected) {
  if (got.length !== expected.length) throw new Error(`${name} has ${got.length} elements, not ${expected.length}`);
  let scale = 0, worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(got[i] - expected[i]);
    if (!(difference <= worst)) worst = difference; // NaN too
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  if (!(worst <= kTolerance * scale)) throw new Error(`${name} is off by ${worst}, its scale is ${scale}`);
  return worst / scale;
}

async function agrees({ sdk, base }, id, options) {
  const at = (path) => new URL(`models/${id}/${path}`, base).href;
  const io = await (await fetch(at('io.json'))).json();
  const model = await sdk.loadModel(at('model.kiln'), { wisdomStore: false, ...options });
  try {
    const inputs = {};
    for (const port of io.inputs) inputs[port.name] = new sdk.Tensor(port.dtype, await read(at(port.file), port), port.shape);
    let error = 0;
    for (let repeat = 0; repeat < 2; repeat++) {
      const outputs = await model.run(inputs);
      for (const port of io.outputs) error = Math.max(error, compare(port.name, outputs[port.name].data, await read(at(port.file), port)));
    }
    const { timings, threads } = model.info();
    return `${threads} threads, error ${error.toExponential(1)} of scale, loaded in ${timings.totalMs.toFixed(0)} ms`;
  } finally {
    model.dispose();
  }
}

/** One case per model, and for the smallest every way to fall back. */
export function modelCases(context) {
  const cases = {};
  for (const id of context.models) cases[`${id} agrees with PyTorch`] = () => agrees(context, id, {});
  if (!context.models.includes('digits')) return cases;
  const fallbacks = { 'one thread': { threads: 1 }, 'no worker': { preferences: { worker: false } }, 'no relaxed SIMD': { preferences: { relaxedSimd: false } }, tuned: { tuning: { budgetMs: 100 } } };
  for (const [name, options] of Object.entries(fallbacks)) cases[`digits agrees with PyTorch: ${name}`] = () => agrees(context, 'digits', options);
  return cases;
}
