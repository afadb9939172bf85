// A model of two steps, written by hand: out = x · (2 · w) + b, four floats, and a file and a manifest that go with it. Some inputs
// misbehave on purpose, by the value of x[0].
import { createHash } from 'node:crypto';
import type { Manifest } from '../../src/shared/manifest.js';

export const kBadIndex = 666; // sets the status word
export const kTrapFirst = 777; // traps on thread 0
export const kTrapSecond = 778; // traps on thread 1; the others wait for it
export const kEndless = 555; // runs until it is cancelled (shared memory) or for a while

export const kHeadBytes = 100;
export const kWeightsBegin = 128;
const kControl = 0, kW = 1024, kB = 1088, kX = 1152, kTmp = 1216, kOut = 1280, kStaging = 1344, kTotal = 2048;
const kWeights = [1, 2, 3, 4], kBias = [10, 20, 30, 40];

export const expected = (x: number[]): number[] => x.map((v, i) => v * 2 * (kWeights[i] ?? 0) + (kBias[i] ?? 0));

const memoryOf = (shared: boolean): string => (shared ? '(memory 0 65536 shared)' : '(memory 0)');

export function loadWat(shared: boolean): string {
  return `(module (import "env" "memory" ${memoryOf(shared)})
    (func (export "init") (param $base i32) (param $phase i32) (local $i i32)
      (if (i32.ne (local.get $phase) (i32.const 0)) (then (return)))
      (loop $next
        (f32.store offset=${kW} (i32.add (local.get $base) (local.get $i))
          (f32.mul (f32.const 2) (f32.load offset=${kStaging} (i32.add (local.get $base) (local.get $i)))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 16))))))`;
}

export function modelWat(shared: boolean): string {
  const atomic = shared ? 'i32.atomic' : 'i32';
  const is = (value: number): string => `(f32.eq (f32.load offset=${kX} (local.get $base)) (f32.const ${value}))`;
  return `(module (import "env" "memory" ${memoryOf(shared)})
    (func (export "run") (param $base i32) (param $thread i32) (param $threads i32) (param $first i32) (param $last i32) (local $i i32) (local $p i32)
      (if ${is(kBadIndex)} (then (i32.store offset=${kControl} (local.get $base) (i32.const 2))))
      (if (i32.and ${is(kTrapFirst)} (i32.eqz (local.get $thread))) (then unreachable))
      (if (i32.and ${is(kTrapSecond)} (i32.eq (local.get $thread) (i32.const 1))) (then unreachable))
      (if (i32.or ${is(kEndless)} ${is(kTrapSecond)}) (then
        (loop $wait
          (local.set $p (i32.add (local.get $p) (i32.const 1)))
          (br_if $wait (i32.and (i32.ne (local.get $p) (i32.const ${shared ? -1 : 300_000_000})) (i32.eqz (${atomic}.load offset=${kControl + 64} (local.get $base))))))
        (i32.store offset=${kControl} (local.get $base) (i32.const 1))
        (return)))
      (if (local.get $thread) (then (return))) ;; threads need not come: the first does it all
      (loop $next
        (if (i32.lt_u (local.get $i) (i32.const 4)) (then
          (local.set $p (i32.add (local.get $base) (i32.mul (local.get $i) (i32.const 4))))
          (if (i32.eqz (local.get $first)) (then
            (f32.store offset=${kTmp} (local.get $p) (f32.mul (f32.load offset=${kX} (local.get $p)) (f32.load offset=${kW} (local.get $p))))))
          (if (i32.eq (local.get $last) (i32.const 2)) (then
            (f32.store offset=${kOut} (local.get $p) (f32.add (f32.load offset=${kTmp} (local.get $p)) (f32.load offset=${kB} (local.get $p))))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next))))))`;
}

export function benchWat(shared: boolean): string {
  return `(module (import "env" "memory" ${memoryOf(shared)})
    (func (export "bench") (param $base i32) (param $index i32) (param $repeats i32)
      (loop $next (br_if $next (local.tee $repeats (i32.sub (local.get $repeats) (i32.const 1)))))))`;
}

/** The file's bytes: a head that only its magic makes plausible, then two segments. */
export function modelFile(): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(kWeightsBegin + 80);
  file.set(new TextEncoder().encode('KILN'), 8);
  file.set(new Uint8Array(new Float32Array(kWeights).buffer), kWeightsBegin);
  file.set(new Uint8Array(new Float32Array(kBias).buffer), kWeightsBegin + 64);
  return file;
}

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
export const digests = (): Uint8Array => sha256(modelFile().subarray(kWeightsBegin));
export const integrity = (): string => `sha256-${sha256(modelFile().subarray(0, kHeadBytes)).toString('base64')}`;

export function manifest(): Manifest {
  const step = (label: string): Manifest['steps'][number] => ({ label, kernel: 0, flops: 4e6, bytes: 48, barrier: false }); // enough for all threads to take part
  return {
    memory: { control: kControl, weights: kW, packed: 128, file: 0, arena: kX, scratch: 1408, scratchStride: 64, total: kTotal },
    inputs: [{ name: 'x', dtype: 'float32', shape: [1, 4], address: kX, bytes: 16 }],
    outputs: [{ name: 'out', dtype: 'float32', shape: [1, 4], address: kOut, bytes: 16 }],
    transfers: [
      { segment: 0, offset: 0, size: 16, address: kStaging, phase: 0 },
      { segment: 1, offset: 64, size: 16, address: kB, phase: -1 },
    ],
    constants: [{ address: kTotal - 4, base64: 'AQIDBA==' }],
    steps: [step('mul'), step('add')],
    arenaNeeds: 1,
    stepNeeds: [1, 2],
    kernels: [{ spec: 'map f32[4]', schedule: 'w4', origin: 'prior', ns: 0 }],
    initPhases: 2,
    weightsBytes: 80,
    blockHashes: ['577c4246ebe8ffee'],
  };
}
