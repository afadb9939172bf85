// Engines that read no model file of ours: TensorFlow.js runs the two image networks, written out here with random
// weights (their values cost the same), and all of them multiply square matrices.

function script(url) {
  return new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement('script'), { src: url, onload: resolve, onerror: () => reject(new Error(`cannot load ${url}`)) });
    document.head.append(element);
  });
}

let tensorflow;
function startTensorflow(at, threads) {
  tensorflow ??= (async () => {
    for (const part of ['core', 'backend-cpu', 'backend-wasm']) await script(at(`modules/@tensorflow/tfjs-${part}/dist/tf-${part}.min.js`));
    const { tf } = globalThis;
    tf.wasm.setWasmPaths(at('modules/@tensorflow/tfjs-backend-wasm/dist/'));
    tf.wasm.setThreadsCount(threads);
    await tf.setBackend('wasm');
    await tf.ready();
    return tf;
  })();
  return tensorflow;
}

/** Fused convolutions as tfjs-converter would make them: bias and activation in the kernel. */
class Layers {
  constructor(tf) {
    this.tf = tf;
  }
  weights(...shape) {
    return this.tf.keep(this.tf.randomNormal(shape, 0, Math.sqrt(2 / (shape[0] * shape[1] * shape[2]))));
  }
  conv(size, from, to, strides, activation) {
    const filter = this.weights(size, size, from, to), bias = this.tf.keep(this.tf.zeros([to]));
    return (x) => this.tf.fused.conv2d({ x, filter, strides, pad: size === 7 ? [[0, 0], [3, 3], [3, 3], [0, 0]] : 'same', bias, activation });
  }
  depthwise(channels, strides, activation) {
    const filter = this.tf.keep(this.tf.randomNormal([3, 3, channels, 1], 0, 0.4)), bias = this.tf.keep(this.tf.zeros([channels]));
    return (x) => this.tf.fused.depthwiseConv2d({ x, filter, strides, pad: 'same', bias, activation });
  }
  classifier(from, to) {
    const weights = this.tf.keep(this.tf.randomNormal([from, to], 0, Math.sqrt(1 / from))), bias = this.tf.keep(this.tf.zeros([to]));
    return (x) => this.tf.add(this.tf.matMul(this.tf.mean(x, [1, 2]), weights), bias);
  }
}

function resnet50(layers) {
  const { tf } = layers;
  const block = (from, width, strides) => {
    const [a, b, c] = [layers.conv(1, from, width, 1, 'relu'), layers.conv(3, width, width, strides, 'relu'), layers.conv(1, width, width * 4, 1, 'linear')];
    const shortcut = from === width * 4 ? (x) => x : layers.conv(1, from, width * 4, strides, 'linear');
    return (x) => tf.relu(tf.add(c(b(a(x))), shortcut(x)));
  };
  const steps = [layers.conv(7, 3, 64, 2, 'relu'), (x) => tf.maxPool(x, 3, 2, 'same')];
  let from = 64;
  [3, 4, 6, 3].forEach((count, stage) => {
    for (let i = 0; i < count; i++, from = 256 << stage) steps.push(block(from, 64 << stage, stage && !i ? 2 : 1));
  });
  return [...steps, layers.classifier(2048, 1000)];
}

function mobilenetv2(layers) {
  const { tf } = layers;
  const block = (from, to, expand, strides) => {
    const inner = from * expand;
    const parts = [layers.depthwise(inner, strides, 'relu6'), layers.conv(1, inner, to, 1, 'linear')];
    if (expand > 1) parts.unshift(layers.conv(1, from, inner, 1, 'relu6'));
    const run = (x) => parts.reduce((y, part) => part(y), x);
    return strides === 1 && from === to ? (x) => tf.add(x, run(x)) : run;
  };
  const steps = [layers.conv(3, 3, 32, 2, 'relu6')];
  let from = 32;
  for (const [expand, to, count, strides] of [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]])
    for (let i = 0; i < count; i++, from = to) steps.push(block(from, to, expand, i ? 1 : strides));
  return [...steps, layers.conv(1, 320, 1280, 1, 'relu6'), layers.classifier(1280, 1001)];
}

const kNetworks = { resnet50, mobilenetv2 };
const sizeOf = (model) => Number(/^matmul-(\d+)$/.exec(model)?.[1] ?? NaN);

/** What an engine of this file can run. */
export const canRun = { tfjs: (model) => model in kNetworks || sizeOf(model) > 0, 'jax-js': (model) => sizeOf(model) > 0 };

export async function tfjs(at, model, threads) {
  const tf = await startTensorflow(at, threads);
  if (sizeOf(model)) {
    return {
      run: async (inputs) => {
        const [a, b] = inputs.map((p) => tf.tensor2d(p.data, p.shape));
        const c = tf.matMul(a, b);
        const data = await c.data();
        tf.dispose([a, b, c]);
        return { c: data };
      },
    };
  }
  const network = kNetworks[model](new Layers(tf));
  return {
    run: async ([image]) => {
      const output = tf.tidy(() => network.reduce((x, layer) => layer(x), tf.tensor4d(image.data, [1, 224, 224, 3])));
      await output.data();
      output.dispose();
    },
  };
}

/** Threads are the library's own choice. */
export async function jaxJs(at) {
  const { defaultDevice, init, numpy } = await import(at('modules/@jax-js/jax/dist/index.js'));
  await init('wasm');
  defaultDevice('wasm');
  return {
    run: async (inputs) => {
      const [a, b] = inputs.map((p) => numpy.array(p.data, { shape: p.shape }));
      return { c: await numpy.matmul(a, b).data() };
    },
  };
}
