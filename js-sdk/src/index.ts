export { loadModel } from './load.js';
export { Model, type ModelInfo, type ModelMemory, type StepProfile } from './model.js';
export { Tensor, type DataLike, type DataOf, type DType, type HalfFloats } from './tensor.js';
export { KilnError, type KilnErrorCode } from './shared/errors.js';
export type { LoadOptions, ModelSource, ProfileOptions, RunOptions, TuningOptions, WisdomStore } from './options.js';
export type { KernelInfo, PortInfo, StepInfo } from './shared/manifest.js';
export type { CompilerSource, Precision, LoadProgress, Timings } from './shared/messages.js';
export { detectEnvironment, type Environment, type Missing } from './shared/environment.js';
export type { Phase } from './shared/timeline.js';
