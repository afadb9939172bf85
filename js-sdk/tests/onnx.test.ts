// .onnx files: their skeletons, the stream of their weights, and whole loads by the compiler that reads them.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FileBytes } from '../src/host/file_bytes.js';
import { parsePieces, weightsSource } from '../src/host/onnx.js';
import { Prefetcher } from '../src/host/prefetch.js';
import { kLargeBytes, skeletonOf } from '../src/host/skeleton.js';
import { loadModel, Tensor, type LoadOptions, type LoadProgress } from '../src/index.js';
import { looksLikeOnnx } from '../src/shared/formats.js';
import { fakeCompiler } from './support/fake_compiler.js';
import { bytesOf, field, graph, graphAttribute, model, tensor, tensorAttribute, varint, type Bytes, type Tiny } from './support/tiny_onnx.js';

const kRows = 160, kColumns = 128; // 80 KB: over kLargeBytes
const numbers = (count: number, seed: number): Float32Array => Float32Array.from({ length: count }, (_, i) => (((i + seed) * 7919) % 257) / 128 - 1);
const kW = numbers(kRows * kColumns, 1), kB = numbers(kColumns, 2), kC = numbers(kRows * kColumns, 3);

/** y = x · w + b, where w is an input with an initializer; z = c · x1, where c is a large Constant. */
const tiny: Tiny = {
  nodes: [
    { op: 'MatMul', inputs: ['x', 'w'], outputs: ['p'] },
    { op: 'Add', inputs: ['p', 'b'], outputs: ['y'] },
    { op: 'Constant', inputs: [], outputs: ['c'], attributes: [tensorAttribute('value', tensor('c', [kRows, kColumns], kC))] },
    { op: 'Mul', inputs: ['c', 'x1'], outputs: ['z'] },
  ],
  inputs: [['x', [2, kRows]], ['x1', [1, 1]], ['w', [kRows, kColumns]]], // w: as files before version 4 of the format list weights
  outputs: [['y', [2, kColumns]], ['z', [kRows, kColumns]]],
  tensors: [tensor('b', [kColumns], kB), tensor('w', [kRows, kColumns], kW)], // w's bytes end the file
};
const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
const skeleton = (file: Uint8Array): Bytes => skeletonOf(FileBytes.of('m.onnx', file));
const codeOf = (work: () => unknown): unknown => {
  try {
    work();
    return 'no error';
  } catch (thrown) {
    return thrown;
  }
};
const large = (name = 't'): Bytes[] => tensor(name, [kRows, kColumns], kW);

describe('the skeleton of an .onnx file', () => {
  it('lacks large weights and says where they lie, wherever they stand', () => {
    const file = model(tiny);
    const made = skeleton(file);
    expect(file.length).toBeGreaterThan(2 * 4 * kRows * kColumns);
    expect(made.length).toBeLessThan(2000);
    const text = new TextDecoder('latin1').decode(made);
    for (const [weights, size] of [[bytesOf(kW), '81920'], [bytesOf(kC), '81920']] as const) {
      const at = Buffer.from(file).indexOf(Buffer.from(weights));
      expect(text).toContain(`offset\x12${String.fromCharCode(String(at).length)}${at}`);
      expect(text).toContain(`length\x12\x05${size}`);
    }
  });

  it('keeps small weights, files without weights, and what it does not know', () => {
    const edge = new Float32Array(kLargeBytes / 4);
    const small = model({ ...tiny, nodes: [], tensors: [tensor('t', [edge.length], edge)] });
    expect(isSame(skeleton(small), small)).toBe(true);
    const unknown = field(99, new Uint8Array(kLargeBytes * 2));
    expect(isSame(skeleton(unknown), unknown)).toBe(true);
    expect(skeleton(new Uint8Array(0))).toEqual(new Uint8Array(0));
  });

  it('is taken from graphs in graphs, functions and lists, to a depth', () => {
    const nested = (depth: number): Bytes => {
      let inside: Bytes[] = graph({ nodes: [], inputs: [], outputs: [], tensors: [large()] });
      for (let i = 0; i < depth; i++) inside = graph({ nodes: [{ op: 'If', inputs: [], outputs: [], attributes: [graphAttribute('then_branch', inside)] }], inputs: [], outputs: [] });
      return field(7, inside);
    };
    expect(skeleton(nested(10)).length).toBeLessThan(1000);
    const deep = nested(3000); // no deeper stack
    expect(isSame(skeleton(deep), deep)).toBe(true);
    expect(skeleton(field(25, [field(7, [field(5, tensorAttribute('value', large()))])])).length).toBeLessThan(200);
    expect(skeleton(field(7, [field(1, [field(5, [field(10, large('a')), field(10, large('b'))])])])).length).toBeLessThan(200);
  });

  it('reads lengths that are longer than they need be', () => {
    const wide = field(7, [field(5, [field(1, kRows * kColumns, 9), field(2, 1, 10), field(9, bytesOf(kW), 10)], 7)], 10);
    expect(skeleton(wide).length).toBeLessThan(100);
  });

  it('leaves tensors alone that say two things', () => {
    for (const more of [field(9, bytesOf(kW)), field(5, 3), field(14, 1), field(13, [field(1, 'location'), field(2, '../secret')])]) {
      const file = field(7, [field(5, [...large(), more])]);
      expect(isSame(skeleton(file), file)).toBe(true);
    }
  });

  it('is refused, with the byte, where a message does not end or is none', () => {
    const file = model(tiny);
    for (const length of [file.length - 1, 100_000, 300, 20]) expect(codeOf(() => skeleton(file.subarray(0, length)))).toMatchObject({ code: 'bad-file', where: expect.stringMatching(/^byte \d+$/) as string });
    const inTensor = (...bytes: number[]): Bytes => field(7, [field(5, [...large(), Uint8Array.from(bytes)])]);
    const ten = [255, 255, 255, 255, 255, 255, 255, 255, 255];
    for (const wrong of [
      field(7, [Uint8Array.from([0x2a, ...varint(2 ** 31), 1])]), // a length of 2 GB
      field(7, [Uint8Array.from([0x2a, ...ten, 127, 1])]), // of 2^70
      field(7, [Uint8Array.from([0x2a, ...ten, 255, 1])]), // of more than ten bytes
      inTensor(0), inTensor(2, 0), // field 0
      inTensor(0x0b), inTensor(0x0e), inTensor(0x0f), // groups and wires that there are not
      inTensor(0x08), inTensor(0x0d, 1, 2, 3), inTensor(0x09, 1, 2, 3, 4, 5, 6, 7), // numbers that do not end
      inTensor(0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 1), // a field beyond 2^32
    ]) expect(codeOf(() => skeleton(wrong))).toMatchObject({ code: 'bad-file' });
  });

  it('never fails otherwise: 20,000 files with wrong bytes', () => {
    const file = field(7, [field(1, [field(4, 'Op'), field(5, tensorAttribute('v', tensor('c', [4], new Float32Array(4))))]), field(5, tensor('w', [2], new Float32Array(2)))]);
    let state = 1;
    const random = (below: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
    let refused = 0;
    for (let i = 0; i < 20_000; i++) {
      const wrong = file.slice(0, file.length - random(3));
      for (let k = random(4); k >= 0; k--) wrong[random(wrong.length)] = random(256);
      const said = codeOf(() => skeleton(wrong));
      if (said !== 'no error') refused += Number((said as { code?: string }).code === 'bad-file');
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe('the weights of an .onnx file', () => {
  const answerOf = (weightsBytes: number, pieces: [number, number, number][], made: number[] = []): Bytes => {
    const words = BigInt64Array.from([weightsBytes, pieces.length, ...pieces.flat()], BigInt);
    return Uint8Array.from([...new Uint8Array(words.buffer), ...made]);
  };
  const read = async (file: FileBytes, answer: Bytes, padding: number): Promise<Bytes> => {
    const source = weightsSource(file, { answer }, padding);
    const all: number[] = [];
    for (let chunk; (chunk = await source.read()); ) all.push(...chunk);
    expect(all.length).toBe(source.size);
    return Uint8Array.from(all);
  };

  it('come in the order of the compiler, over the borders of blocks, and what has come is gone', async () => {
    const bytes = new Uint8Array((1 << 20) + 5000).map((_, i) => Math.imul(i, 2654435761) >>> 24);
    const file = FileBytes.of('m', bytes);
    const begin = (1 << 20) - 100;
    const all = await read(file, answerOf(1280, [[0, 1000, begin], [1024, 3, -2], [1088, 70, 7], [1216, 64, begin + 50]], [9, 8, 7, 6]), 13);
    const wanted = new Uint8Array(13 + 1280);
    wanted.set(bytes.subarray(begin, begin + 1000), 13);
    wanted.set([8, 7, 6], 13 + 1024);
    wanted.set(bytes.subarray(7, 77), 13 + 1088);
    wanted.set(bytes.subarray(begin + 50, begin + 114), 13 + 1216);
    expect(all).toEqual(wanted);
    expect(() => file.byte(7)).toThrow('not there any more');
    expect(() => file.byte(begin + 2000)).toThrow('not there any more');
  });

  it('are refused unless they lie in the file, in order', () => {
    const wrong = (answer: Bytes): void => expect(codeOf(() => parsePieces(answer, 100))).toMatchObject({ code: 'internal' });
    expect(parsePieces(answerOf(64, [[0, 64, 36]]), 100).pieces).toHaveLength(1);
    for (const pieces of [[[0, 64, 37]], [[0, 65, 0]], [[0, 64, -1]], [[0, 0, 0]], [[0, 32, 0], [31, 1, 0]], [[-1, 4, 0]]] as [number, number, number][][]) wrong(answerOf(64, pieces));
    wrong(new Uint8Array(8));
    wrong(answerOf(64, [[0, 64, 0]]).slice(0, 30));
  });

  it('are read in blocks from chunks of any size, and no further than a limit', async () => {
    const bytes = new Uint8Array((1 << 20) + 777).map((_, i) => i % 251);
    for (const [size, step] of [[undefined, 4095], [bytes.length, 1 << 19], [10, 3_000_000]] as const) {
      let at = 0;
      const source = { name: 'm', size, read: () => Promise.resolve(at < bytes.length ? bytes.slice(at, (at += step)) : null), cancel: () => undefined };
      const file = await FileBytes.read(new Prefetcher(source, 1000, () => undefined), bytes.length);
      expect(isSame(file.whole(), bytes)).toBe(true);
      at = 0;
      await expect(FileBytes.read(new Prefetcher(source, 1000, () => undefined), bytes.length - 1)).rejects.toMatchObject({ code: 'bad-file' });
    }
  });
});

describe('loadModel of an .onnx file', () => {
  const compiler = new Uint8Array(readFileSync(new URL('../../build/wasm/runtime/kiln_compiler_full.wasm', import.meta.url)));
  const load = (file: Bytes | Blob, options: LoadOptions = {}): ReturnType<typeof loadModel> => loadModel(file, { compiler, wisdomStore: false, preferences: { worker: false }, ...options });
  const x = numbers(2 * kRows, 5);
  const inputs = { x: new Tensor('float32', x, [2, kRows]), x1: new Tensor('float32', [2], [1, 1]) };
  const product = (row: number, column: number): number => {
    let sum = kB[column] as number;
    for (let k = 0; k < kRows; k++) sum += (x[row * kRows + k] as number) * (kW[k * kColumns + column] as number);
    return sum;
  };

  it('gives its numbers, from bytes and blobs, with and without integrity', async () => {
    const file = model(tiny);
    expect(looksLikeOnnx(file)).toBe(true);
    const integrity = `sha256-${createHash('sha256').update(file).digest('base64')}`;
    for (const options of [{}, { integrity }]) {
      for (const source of [file, new Blob([file])]) {
        const events: LoadProgress[] = [];
        using loaded = await load(source, { ...options, onProgress: (event) => events.push(event) });
        expect(loaded.inputs.map(({ name, shape }) => [name, shape])).toEqual([['x', [2, kRows]], ['x1', [1, 1]]]);
        const { y, z } = await loaded.run(inputs);
        for (let i = 0; i < 2 * kColumns; i++) expect(Math.abs((y?.data[i] as number) - product(Math.floor(i / kColumns), i % kColumns))).toBeLessThan(1e-4); // 160 products of up to 1
        expect(isSame(bytesOf(z?.data as Float32Array), bytesOf(kC.map((c) => 2 * c)))).toBe(true);
        expect(events.findLast(({ stage }) => stage === 'download')).toEqual({ stage: 'download', loadedBytes: file.length, totalBytes: file.length });
        expect(loaded.info()).toMatchObject({ cache: 'none', downloadedBytes: file.length });
      }
    }
    await expect(load(file, { integrity: `sha256-${'A'.repeat(43)}=` })).rejects.toMatchObject({ code: 'bad-file', where: 'integrity' });
  });

  it('gives results the size that the data decide', async () => {
    const file = model({
      nodes: [
        { op: 'Greater', inputs: ['x', 'zero'], outputs: ['mask'] },
        { op: 'Compress', inputs: ['x', 'mask'], outputs: ['y'] },
        { op: 'NonZero', inputs: ['pair'], outputs: ['places'] },
      ],
      inputs: [['x', [5]], ['pair', [2, 3]]],
      outputs: [['y', [5]], ['places', [2, 6]], ['mask', [5]]],
      tensors: [tensor('zero', [1], new Float32Array(1))],
    });
    using loaded = await load(file);
    expect(loaded.outputs.map(({ name, shape, boundedAxis }) => [name, shape, boundedAxis])).toEqual([['y', [5], 0], ['places', [2, 6], 1], ['mask', [5], undefined]]);
    for (const [values, pairs, kept, places] of [
      [[1, -1, 2, 0, 3], [0, 7, 0, 7, 0, 7], [1, 2, 3], [0, 1, 1, 1, 0, 2]],
      [[1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2]],
      [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [], []],
    ] as [number[], number[], number[], number[]][]) {
      const { y, places: at } = await loaded.run({ x: new Tensor('float32', values), pair: new Tensor('float32', pairs, [2, 3]) });
      expect([y?.shape, Array.from(y?.data as Float32Array)]).toEqual([[kept.length], kept]);
      expect([at?.shape, Array.from(at?.data as BigInt64Array, Number)]).toEqual([[2, places.length / 2], places]);
    }
  });

  it('says what is wrong with the file', async () => {
    const file = model(tiny);
    await expect(load(file.slice(0, -1))).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining('truncated') as string });
    await expect(load(new Uint8Array(0))).rejects.toMatchObject({ code: 'bad-file' });
    await expect(load(file.slice(0, 6))).rejects.toMatchObject({ code: 'bad-file' });
    const unknown = model({ ...tiny, nodes: [...tiny.nodes, { op: 'Frobnicate', inputs: ['y'], outputs: ['f'] }], outputs: [['f', [2, kColumns]]] });
    await expect(load(unknown)).rejects.toMatchObject({ code: 'unsupported-operator', message: expect.stringContaining('onnx.Frobnicate') as string });
    const beside = [field(1, 2), field(2, 1), field(8, 'e'), field(13, [field(1, 'location'), field(2, 'weights.bin')]), field(14, 1)];
    await expect(load(model({ ...tiny, tensors: [...(tiny.tensors ?? []), beside] }))).rejects.toMatchObject({ code: 'unsupported-operator', message: expect.stringContaining('weights.bin') as string });
    const bomb = [field(1, 2 ** 28), field(2, 1), field(8, 'e'), field(13, [field(1, 'length'), field(2, String(2 ** 30))]), field(14, 1)];
    await expect(load(model({ ...tiny, tensors: [...(tiny.tensors ?? []), bomb] }))).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining('beyond the end') as string });
  });

  it('needs the compiler that reads it', async () => {
    await expect(load(model(tiny), { compiler: fakeCompiler({ shared: false }) })).rejects.toMatchObject({ code: 'unsupported-operator', where: 'compiler', message: expect.stringContaining('compiler-full.wasm') as string });
  });
});
