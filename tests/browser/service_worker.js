// Tries to load a model where there are neither workers nor imports; cases.js asks.
import { loadModel } from '../sdk/index.js';

self.addEventListener('message', ({ data, ports: [port] }) => {
  const outcome = loadModel(data).then(() => ({ message: 'it loaded' }), ({ constructor, code, message }) => ({ kind: constructor.name, code, message }));
  void outcome.then((answer) => port.postMessage(answer));
});
