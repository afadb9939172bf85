// Weights are compared with their hashes while they arrive; a page that insists on a file gets that file or none.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Digest } from '../src/host/digest.js';
import { Checksums, digestsIn, insist, Sha256, Verifier, type Expected } from '../src/host/verify.js';
import { loadModel, Tensor, type LoadOptions } from '../src/index.js';
import { kBlockBytes } from '../src/shared/manifest.js';
import { fakeCompiler } from './support/fake_compiler.js';
import { expected, integrity, modelFile } from './support/tiny_model.js';

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const compiler = fakeCompiler({ shared: false });
const load = (file: Uint8Array<ArrayBuffer>, options: LoadOptions): ReturnType<typeof loadModel> => loadModel(file, { compiler, wisdomStore: false, preferences: { worker: false }, ...options });
const flipped = (at: number): Uint8Array<ArrayBuffer> => modelFile().map((byte, i) => (i === at ? byte ^ 4 : byte));

describe('integrity', () => {
  it('takes the file that it names, alone or among others', async () => {
    const other = `sha256-${'A'.repeat(43)}=`;
    for (const wanted of [integrity(), ` ${other}\n${integrity()} `]) {
      using model = await load(modelFile(), { integrity: wanted });
      const { out } = await model.run({ x: new Tensor('float32', [1, 2, 3, 4], [1, 4]) });
      expect(Array.from(out?.data as Float32Array)).toEqual(expected([1, 2, 3, 4]));
    }
    await expect(load(modelFile(), { integrity: other })).rejects.toMatchObject({ code: 'bad-file', where: 'integrity', message: expect.stringContaining(integrity()) as string });
  });

  it('notices any other head and any other weights', async () => {
    await expect(load(flipped(50), { integrity: integrity() })).rejects.toMatchObject({ code: 'bad-file', where: 'integrity' });
    for (const at of [131, 207]) await expect(load(flipped(at), { integrity: integrity() })).rejects.toMatchObject({ code: 'bad-file', message: expect.stringContaining('do not match their hash') as string });
    await expect(load(modelFile().slice(0, 200), { integrity: integrity() })).rejects.toMatchObject({ code: 'bad-file' });
    const run = async (): Promise<unknown> => (await load(flipped(131), { integrity: integrity(), runWhileLoading: true })).run({ x: new Tensor('float32', [1, 2, 3, 4], [1, 4]) });
    await expect(run()).rejects.toMatchObject({ code: 'bad-file' });
  });

  it('has one form, and is not had without verifying', async () => {
    for (const wrong of ['', 'sha256-', 'md5-AAAA', `${integrity()},${integrity()}`, integrity().slice(0, -1), `sha384-${'A'.repeat(64)}`]) {
      await expect(load(modelFile(), { integrity: wrong })).rejects.toMatchObject({ code: 'bad-option', message: expect.stringContaining('integrity must be') as string });
    }
    await expect(load(modelFile(), { integrity: integrity(), verify: false })).rejects.toMatchObject({ code: 'bad-option', where: 'integrity' });
  });

  it('is compared with the head alone', async () => {
    const head = new Uint8Array([1, 2, 3]);
    await insist([`sha256-${sha256(head).toString('base64')}`], head, 'm');
    await expect(insist([], head, 'm')).rejects.toMatchObject({ code: 'bad-file' });
  });
});

describe('Verifier', async () => {
  const weights = new Uint8Array(3 * kBlockBytes + 1000).map((_, i) => Math.imul(i, 2654435761) >>> 24);
  const blocks = Array.from({ length: 4 }, (_, i) => weights.subarray(i * kBlockBytes, (i + 1) * kBlockBytes));
  const digest = await Digest.create();
  const kinds = {
    'XXH64': { make: () => new Checksums(digest), hashes: blocks.map((block) => digest.chain(block).toString(16).padStart(16, '0')) },
    'SHA-256': { make: () => new Sha256(), hashes: digestsIn(Buffer.concat(blocks.map(sha256))) },
  };
  const feed = async (verifier: Verifier, bytes: Uint8Array, chunk: number, about: Expected, late: boolean): Promise<void> => {
    if (!late) verifier.expect(about);
    for (let at = 0; at < bytes.length; at += chunk) await verifier.add(bytes.slice(at, at + chunk));
    if (late) verifier.expect(about);
    await verifier.end();
  };

  for (const [name, { make, hashes }] of Object.entries(kinds)) {
    const about = { weightsBytes: weights.length, blockHashes: hashes };
    it(`compares ${name} of chunks of any size, whenever it is known with what`, async () => {
      for (const chunk of [10_007, kBlockBytes, 2.5 * kBlockBytes, weights.length])
        for (const late of [false, true]) {
          const verifier = new Verifier(make(), 'm');
          await feed(verifier, weights, chunk, about, late);
          expect(verifier.complete).toBe(true);
        }
    });

    it(`finds by ${name} the block that is damaged, and what is missing`, async () => {
      for (const at of [0, kBlockBytes - 1, kBlockBytes, 3 * kBlockBytes + 999]) {
        const bad = weights.slice();
        bad[at] = (bad[at] as number) ^ 1;
        const where = `byte ${Math.floor(at / kBlockBytes) * kBlockBytes} of the weights`;
        await expect(feed(new Verifier(make(), 'm'), bad, 300_000, about, false)).rejects.toMatchObject({ code: 'bad-file', where });
        await make().take(); // what was begun
      }
      await expect(feed(new Verifier(make(), 'm'), weights.slice(0, 2 * kBlockBytes), kBlockBytes, about, true)).rejects.toMatchObject({ code: 'bad-file' });
    });
  }
});
