// Options, manifests, wisdom and texts that nobody means well with: errors with codes, and nothing else. The same numbers every time.
import { describe, expect, it } from 'vitest';
import { KilnError, loadModel, Tensor, type LoadOptions } from '../src/index.js';
import { mergeWisdom } from '../src/main/wisdom.js';
import { kElementBytes, parseManifest, type Manifest } from '../src/shared/manifest.js';
import { fakeCompiler } from './support/fake_compiler.js';
import { expected, manifest, modelFile } from './support/tiny_model.js';
import { randoms } from './support/randoms.js';

const kExtremes: unknown[] = [0, -1, 1, 0.5, -0, 63, 64, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, -(2 ** 63), 1e308, NaN, Infinity, null, true, '', '1', '\u001b[2J', 'a'.repeat(1000), [], [null], {}, [[]], { toString: 1 }];

/** Replaces, removes or repeats one value anywhere in it. */
function mutate(value: unknown, random: (below: number) => number): unknown {
  const places: [Record<string, unknown>, string][] = [];
  const walk = (at: unknown): void => {
    if (typeof at !== 'object' || at === null) return;
    for (const key of Object.keys(at)) {
      places.push([at as Record<string, unknown>, key]);
      walk((at as Record<string, unknown>)[key]);
    }
  };
  walk(value);
  const [holder, key] = places[random(places.length)] as [Record<string, unknown>, string];
  const how = random(4);
  if (how === 0) Reflect.deleteProperty(holder, key);
  else if (how === 1 && Array.isArray(holder)) holder.push(holder[key as unknown as number]);
  else if (how === 2 && typeof holder[key] === 'number') holder[key] = (holder[key]) + ([1, -1, 64, 2 ** 32][random(4)] ?? 0);
  else holder[key] = kExtremes[random(kExtremes.length)];
  return value;
}

describe('hostile', () => {
  it('manifests are refused, or hold what is relied on', () => {
    const random = randoms(1);
    let taken = 0;
    for (let i = 0; i < 20_000; i++) {
      const text = JSON.stringify(mutate(manifest(), random)) ?? 'undefined';
      let parsed: Manifest;
      try {
        parsed = parseManifest(random(20) ? text : text.slice(0, random(text.length)));
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(KilnError);
        continue;
      }
      taken++;
      const memory = new Uint8Array(Math.min(parsed.memory.total, 1 << 20));
      const within = (address: number, bytes: number): void => {
        expect(Number.isSafeInteger(address) && Number.isSafeInteger(bytes) && address >= 0 && bytes >= 0 && address + bytes <= parsed.memory.total, text).toBe(true);
      };
      within(parsed.memory.weights, parsed.memory.packed);
      for (const { address, bytes, shape, dtype } of [...parsed.inputs, ...parsed.outputs]) {
        within(address, bytes);
        expect(shape.reduce((product, dim) => product * dim, 1) * kElementBytes[dtype]).toBe(bytes);
      }
      for (const { address, size, phase } of parsed.transfers) {
        within(address, size);
        expect(phase).toBeLessThan(parsed.initPhases);
      }
      for (const { address, base64 } of parsed.constants) within(address, Buffer.from(base64, 'base64').length);
      expect(memory.length).toBeGreaterThan(0);
    }
    expect(taken).toBeGreaterThan(1000); // names, labels, numbers of operations
  });

  it('options are refused, or do no harm', async () => {
    const random = randoms(2);
    const compiler = fakeCompiler({ shared: false });
    const names: (keyof LoadOptions)[] = ['threads', 'tuning', 'wisdomStore', 'dims', 'precision', 'runWhileLoading', 'onProgress', 'signal', 'cache', 'verify', 'integrity', 'preferences'];
    const extreme = (): unknown => kExtremes[random(kExtremes.length)];
    const codes: Record<string, number> = {};
    for (let i = 0; i < 300; i++) {
      const options: Record<string, unknown> = { compiler, wisdomStore: false, preferences: { worker: false } };
      for (let n = random(3); n >= 0; n--) options[names[random(names.length)] as string] = extreme();
      if (random(4) === 0) options['tuning'] = { budgetMs: extreme(), wisdom: extreme(), background: extreme() };
      if (random(4) === 0) options['dims'] = { n: extreme(), 'a=b': 1 };
      if (typeof options['wisdomStore'] === 'string') delete options['wisdomStore']; // a folder
      options['preferences'] = { worker: false };
      const outcome = await loadModel(modelFile(), options as LoadOptions).then(
        async (model) => {
          const { out } = await model.run({ x: new Tensor('float32', [1, 2, 3, 4], [1, 4]) });
          expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
          model.dispose();
          return 'loads';
        },
        (thrown: unknown) => {
          expect(thrown, JSON.stringify(options)).toBeInstanceOf(KilnError);
          return (thrown as KilnError).code;
        },
      );
      codes[outcome] = (codes[outcome] ?? 0) + 1;
    }
    expect(codes['internal'], JSON.stringify(codes)).toBeUndefined();
    expect(codes['loads']).toBeGreaterThan(3);
    expect(codes['bad-option']).toBeGreaterThan(100);
  });

  it('wisdom is merged as far as it is any', () => {
    const random = randoms(3);
    for (let i = 0; i < 5000; i++) {
      const file = { 'wasmkiln-wisdom': 1, entries: [{ scope: 's', spec: 'a', schedule: 'w4', ns: 3 }, { scope: 's', spec: 'b', schedule: 'w8', ns: 5 }] };
      const text = JSON.stringify(mutate(file, random));
      const merged = JSON.parse(mergeWisdom([text, null, text.slice(0, random(text.length))])) as typeof file;
      for (const { scope, spec, schedule, ns } of merged.entries) expect([scope, spec, schedule, ns].map((each) => typeof each)).toEqual(['string', 'string', 'string', 'number']);
    }
  });

  it('names reach no terminal as they are', async () => {
    for (const name of ['\u001b]0;title\u0007', 'a\rb', '\u202egnp.exe', '\u009b31m', 'a\0b']) {
      expect(new KilnError('bad-input', `the input "${name}" is missing`).message).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    }
    expect(new KilnError('bad-input', 'größe, 寸法\nnext').message).toBe('größe, 寸法\nnext');
    await expect(loadModel('/no/\u001b[2J.kiln', { compiler: fakeCompiler({ shared: false }), wisdomStore: false, preferences: { worker: false } })).rejects.toMatchObject({ message: expect.stringContaining('\\u{1b}[2J') as string });
  });
});
