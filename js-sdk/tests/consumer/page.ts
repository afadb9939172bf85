// What a user's own compiler makes of the package: this file is compiled against dist/, never run.
import { detectEnvironment, KilnError, loadModel, Model, Tensor, type LoadOptions, type LoadProgress } from 'wasmkiln';

const options: LoadOptions = { threads: 2, onProgress: (event: LoadProgress) => void event.stage };
const model: Model = await loadModel('/model.kiln', options);
const image = new Tensor('float32', new Float32Array(4), [1, 4]);
const results: Record<string, Tensor> = await model.run({ image }, { signal: AbortSignal.timeout(1000) });
const values = results['logits']?.data;
void (values instanceof Float32Array && values.length);
void (detectEnvironment().cores + model.info().threads);
if (model instanceof Model) model.dispose();
void (new KilnError('bad-input', 'why').code satisfies string);

// @ts-expect-error loadModel() makes models, nobody else.
new Model();
// @ts-expect-error What is internal has no declaration.
void Model.of;
// @ts-expect-error A tensor's data has the type that was named.
new Tensor('int64', [1.5, 'x'], [2]);
