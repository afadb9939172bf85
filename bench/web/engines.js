// Each engine behind one shape: load(at, model, threads, io) → { run(inputs) → {name: typed array} }, and for decoders
// keep(input) → the engine's own tensor for a cache that stays from run to run, which `run` takes in place of the data;
// close() gives back what it holds; profile(inputs) → what each step takes, if the engine says.
import { jaxJs, tfjs } from './peers.js';

/** `options`: what differs from the SDK's defaults. `io` is the model's io.json: its file, if it has no .kiln, and sizes. */
const wasmkiln = (options) => async (at, model, threads, io, cache = false) => {
  const { loadModel, Tensor } = await import(at('sdk/index.js'));
  const loaded = await loadModel(at(`models/${model}/${io.file ?? 'model.kiln'}`), { threads, wisdomStore: false, cache, dims: io.dims, ...options });
  return {
    info: () => loaded.info(),
    memory: () => loaded.memory(),
    close: () => loaded.dispose(),
    profile: (inputs) => loaded.profile(Object.fromEntries(inputs.map((p) => [p.name, new Tensor(p.dtype, p.data, p.shape)]))),
    keep: ({ name, data }) => {
      const tensor = loaded.inputTensor(name);
      tensor.data.set(data);
      return tensor;
    },
    run: async (inputs) => {
      const outputs = await loaded.run(Object.fromEntries(inputs.map((p) => [p.name, p.kept ?? new Tensor(p.dtype, p.data, p.shape)])));
      return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
    },
  };
};

async function ortWeb(at, model, threads) {
  const ort = await import(at('ort/ort.wasm.min.mjs'));
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = at('ort/');
  const session = await ort.InferenceSession.create(at(`models/${model}/model.onnx`), { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
  return {
    close: () => session.release(),
    keep: (p) => new ort.Tensor(p.dtype, p.data.slice(), p.shape), // on the CPU it has nothing nearer: run() copies
    run: async (inputs) => {
      const outputs = await session.run(Object.fromEntries(inputs.map((p) => [p.name, p.kept ?? new ort.Tensor(p.dtype, p.data, p.shape)])));
      return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
    },
  };
}

export const engines = { wasmkiln: wasmkiln({}), 'wasmkiln-alone': wasmkiln({ preferences: { worker: 'optional' } }), 'wasmkiln-early': wasmkiln({ runWhileLoading: true }), 'wasmkiln-fast': wasmkiln({ precision: 'fast' }), 'ort-web': ortWeb, tfjs, 'jax-js': jaxJs };
