// `node run_models.mjs SDK MODEL.kiln…`: runs each with MODEL.kiln.in0, in1, … and prints a line of JSON for each:
// {outputs: [hexadecimal bytes, …]}, or {error}. What tests/fuzz/torch_differential.py compares with PyTorch.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [sdk, ...paths] = process.argv.slice(2);
const { loadModel, Tensor } = await import(pathToFileURL(join(resolve(sdk), 'index.node.js')));

async function answer(path) {
  const model = await loadModel(readFileSync(path), { threads: 2, wisdomStore: false, tuning: false });
  try {
    const { inputs, outputs } = model;
    const tensors = inputs.map((port, i) => [port.name, Tensor.fromBytes(port, new Uint8Array(readFileSync(`${path}.in${i}`)).buffer)]);
    const made = await model.run(Object.fromEntries(tensors));
    return { outputs: outputs.map(({ name }) => Buffer.from(made[name].data.buffer, made[name].data.byteOffset, made[name].data.byteLength).toString('hex')) };
  } finally {
    await model.dispose();
  }
}

for (const path of paths) console.log(JSON.stringify(await answer(path).catch((error) => ({ error: String(error) }))));
