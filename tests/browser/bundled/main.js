// What a user's page would be: the package by its name, a model beside the page. Its answer goes to the test.
import { loadModel, Tensor } from 'wasmkiln';

async function answer() {
  const about = await (await fetch('io.json')).json();
  const floats = async ({ file }) => new Float32Array(await (await fetch(file)).arrayBuffer());
  const model = await loadModel('model.kiln', { preferences: { worker: 'optional' } });
  const { logits } = await model.run({ image: new Tensor('float32', await floats(about.inputs[0]), about.inputs[0].shape) });
  const wanted = await floats(about.outputs[0]);
  const { threads, missing } = model.info();
  model.dispose();
  const fetched = performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.wasm')).length;
  return { difference: Math.max(...wanted.map((x, i) => Math.abs(x - logits.data[i]))), threads, missing: missing.map(({ feature }) => feature), fetched };
}

const report = await answer().catch(({ code, message }) => ({ error: `${code}: ${message}` }));
await fetch(new URL('report', location.href), { method: 'POST', body: JSON.stringify(report) });
