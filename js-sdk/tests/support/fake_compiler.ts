// A compiler for exactly one model: WebAssembly with the exports of runtime/web_api.h and answers prepared in its data segment.
import wabt from 'wabt';
import { benchWat, digests, kHeadBytes, kWeightsBegin, loadWat, manifest, modelWat } from './tiny_model.js';

const tools = await wabt();

export function assemble(wat: string): Uint8Array {
  const module = tools.parseWat('test.wat', wat, { threads: true, simd: true, bulk_memory: true });
  try {
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}

const kFree = 1 << 17;

/** Lays answers out in memory; `name` is later a call that makes one the result. */
class Answers {
  private at_ = 64;
  readonly segments: string[] = [];
  readonly functions: string[] = [];

  add(name: string, answer: string | Uint8Array): void {
    const bytes = typeof answer === 'string' ? new TextEncoder().encode(answer) : answer;
    const text = Array.from(bytes, (b) => `\\${b.toString(16).padStart(2, '0')}`).join('');
    this.segments.push(`(data (i32.const ${this.at_}) "${text}")`);
    this.functions.push(`(func $${name} (global.set $data (i32.const ${this.at_})) (global.set $size (i32.const ${bytes.length})))`);
    this.at_ += bytes.length;
  }
}

export interface FakeOptions {
  shared: boolean;
  /** JSON that replaces the manifest's total. */
  total?: number;
  /** It lacks what the model needs. */
  incomplete?: boolean;
}

export function fakeCompiler({ shared, total, incomplete }: FakeOptions): Uint8Array<ArrayBuffer> {
  const described = manifest();
  if (total !== undefined) described.memory.total = total;
  const answers = new Answers();
  answers.add('layout', JSON.stringify({ headBytes: kHeadBytes, weightsBegin: kWeightsBegin }));
  answers.add('no_magic', JSON.stringify({ code: 'bad-file', message: 'not a .kiln file', where: 'byte 8' }));
  answers.add('outline', JSON.stringify({ weightsBytes: 128, fileWeightsBytes: 80, arenaBytes: 192, kernels: 1 }));
  answers.add('lacks', JSON.stringify({ code: 'incomplete', message: 'the model has the operator aten.sort.default', where: 'model.py:1' }));
  answers.add('digests', digests());
  answers.add('candidates', JSON.stringify({ bytes: 4096, duel: false, candidates: ['a', 'b'].map((schedule) => ({ spec: 's', schedule, flops: 1000 })) }));
  answers.add('bench_module', assemble(benchWat(shared)));
  answers.add('load_module', assemble(loadWat(shared)));
  answers.add('module', assemble(modelWat(shared)));
  answers.add('manifest', JSON.stringify(described));
  const [kernel] = described.kernels;
  answers.add('tuned_manifest', JSON.stringify({ ...described, kernels: [{ ...kernel, schedule: 'a', origin: 'measured', ns: 5 }] }));
  answers.add('wisdom', JSON.stringify({ 'wasmkiln-wisdom': 1, entries: [{ scope: 'fake', spec: 's', schedule: 'a', ns: 5 }] }));
  const magic = 0x4e4c494b; // "KILN", little-endian
  return Uint8Array.from(
    assemble(`(module (memory (export "memory") 4)
      (global $data (mut i32) (i32.const 0)) (global $size (mut i32) (i32.const 0)) (global $top (mut i32) (i32.const ${kFree})) (global $tuned (mut i32) (i32.const 0))
      ${answers.segments.join('\n')} ${answers.functions.join('\n')}
      (func (export "kiln_alloc") (param i32) (result i32) (global.get $top)
        (global.set $top (i32.and (i32.add (i32.add (global.get $top) (local.get 0)) (i32.const 15)) (i32.const -16))))
      (func (export "kiln_free") (param i32) (global.set $top (local.get 0)))
      (func (export "kiln_head_layout") (param i32 i32) (result i32)
        (if (result i32) (i32.eq (i32.load offset=8 (local.get 0)) (i32.const ${magic})) (then (call $layout) (i32.const 0)) (else (call $no_magic) (i32.const -1))))
      (func (export "kiln_open") (param i32 i32 f64 i32 i32) (result i32) ${incomplete ? '(call $lacks) (i32.const -1)' : '(call $outline) (i32.const 0)'})
      (func (export "kiln_digests") (result i32) (call $digests) (i32.const 0))
      (func (export "kiln_wisdom") (param i32 i32) (result i32)
        (i32.const 0))
      (func (export "kiln_tune_next") (param i32) (result i32)
        (if (global.get $tuned) (then (return (i32.const 0))))
        (global.set $tuned (i32.const 1)) (call $bench_module) (i32.const 2))
      (func (export "kiln_tune_describe") (result i32) (call $candidates) (i32.const 0))
      (func (export "kiln_tune_report") (param i32 f64) (result i32) (i32.const 0))
      (func (export "kiln_lay_out") (param f64 f64) (result i32) (call $load_module) (i32.const 0))
      (func (export "kiln_emit") (result i32) (call $module) (i32.const 0))
      (func (export "kiln_manifest") (result i32)
        (if (global.get $tuned) (then (call $tuned_manifest)) (else (call $manifest))) (i32.const 0))
      (func (export "kiln_wisdom_export") (result i32) (call $wisdom) (i32.const 0))
      (func (export "kiln_dump") (param i32 i32) (result i32) (i32.const 0))
      (func (export "kiln_result_data") (result i32) (global.get $data))
      (func (export "kiln_result_size") (result i32) (global.get $size)))`),
  );
}
