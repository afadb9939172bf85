// Drives the demo in headless Chromium as a visitor would, prints what the pages answered, and keeps screenshots.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const kChromium = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const kScreens = { wide: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };

/** Strokes as a person would draw them, in parts of the pad. */
const kDrawings = {
  1: [[[0.5, 0.15], [0.5, 0.85]]],
  7: [[[0.25, 0.2], [0.75, 0.2], [0.45, 0.85]]],
  0: [Array.from({ length: 25 }, (_, i) => [0.5 + 0.22 * Math.sin((i * Math.PI) / 12), 0.5 - 0.34 * Math.cos((i * Math.PI) / 12)])],
  4: [[[0.55, 0.12], [0.25, 0.6], [0.75, 0.6]], [[0.6, 0.4], [0.6, 0.9]]],
};

async function draw(page, strokes) {
  await page.click('#clear');
  const box = await page.locator('#pad').boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  for (const [first, ...rest] of strokes) {
    await page.mouse.move(...at(first));
    await page.mouse.down();
    for (const point of rest) await page.mouse.move(...at(point), { steps: 6 });
    await page.mouse.up();
  }
}

async function ready(page) {
  await page.waitForFunction(() => document.querySelector('#tiles div') || document.querySelector('#error')?.hidden === false, null, { timeout: 120_000 });
  const error = await page.evaluate(() => (document.querySelector('#error').hidden ? '' : document.querySelector('#error').textContent));
  if (error) throw new Error(error);
  return page.evaluate(() => [...document.querySelectorAll('#tiles div')].map((tile) => tile.innerText.replaceAll('\n', ' ')).join(' · '));
}

const inView = (page, selector) => page.locator(selector).evaluate((element) => {
  const { top, bottom, height } = element.getBoundingClientRect();
  return height > 0 && top >= 0 && bottom <= innerHeight;
});

/** A model that cannot be had: the page says so on the first screen, and loads when it is there. */
async function fails(page, note, load) {
  const none = (route) => route.fulfill({ status: 404, body: 'not found' });
  await page.route('**/*.kiln', none);
  await load();
  await page.locator('#error').waitFor({ timeout: 60_000 });
  const seen = await inView(page, '#retry');
  note(`without its model: "${(await page.textContent('#error p')).slice(0, 60)}…"${seen ? '' : ', below the fold'}`);
  await page.unroute('**/*.kiln', none);
  await page.click('#retry');
  return seen;
}

async function digits(page, note) {
  note(`digits: ${await ready(page)}`);
  let right = 0;
  for (const [digit, strokes] of Object.entries(kDrawings)) {
    await draw(page, strokes);
    await page.waitForFunction(() => document.querySelector('#best').textContent !== '?');
    await page.waitForTimeout(100); // the answer to the last stroke
    const answer = await page.textContent('#best');
    note(`drew a ${digit}, the page says ${answer}`);
    if (answer === digit) right++;
  }
  await page.click('#clear');
  await page.focus('#pad');
  for (const key of [' ', ...Array(10).fill('ArrowDown'), ' ']) await page.keyboard.press(key);
  await page.waitForTimeout(100);
  const typed = await page.textContent('#best');
  note(`a line drawn with the keyboard: the page says ${typed}`);
  if (!(await inView(page, '#classes'))) throw new Error('the answer is below the fold');
  await page.evaluate(() => (document.querySelector('#accuracy').textContent = ''));
  await page.click('#all');
  await page.waitForFunction(() => document.querySelector('#accuracy').textContent !== '', null, { timeout: 60_000 });
  note(`held-out digits: ${await page.textContent('#accuracy')}`);
  return right >= 3 && typed === '1'; // a mouse's straight lines are not handwriting
}

async function sentences(page, note) {
  note(`sentences: ${await ready(page)}`);
  let right = true;
  for (const [query, expected] of [['dinner ideas', 'tomatoes'], ['is there weather to worry about', 'storm'], ['an animal at rest', 'cat']]) {
    await page.fill('#query', query);
    await page.waitForFunction(() => document.querySelector('#says').textContent.startsWith('Nearest first, in'), null, { timeout: 60_000 });
    await page.waitForTimeout(300);
    const nearest = await page.textContent('#nearest li span');
    note(`"${query}" is nearest to "${nearest}"`);
    right &&= nearest.includes(expected);
  }
  const finished = () => page.waitForFunction(() => document.querySelector('#says').textContent.startsWith('Nearest first, in'), null, { timeout: 60_000 });
  const lines = await page.inputValue('#sentences');
  await page.fill('#sentences', `${lines}\n${'The committee read its report aloud. '.repeat(20)}And then a dog barked at the mailman.`);
  await finished();
  await page.fill('#sentences', `${lines}\n${Array.from({ length: 300 }, (_, i) => `Parcel ${i} is on its way.`).join('\n')}`);
  await finished();
  note(`300 short lines more: "${await page.textContent('#says')}"`);
  await page.fill('#query', '');
  const left = await page.locator('#nearest li').count();
  note(`an empty query leaves ${left} results: "${await page.textContent('#says')}"`);
  right &&= left === 0;
  await page.fill('#sentences', lines);
  await page.fill('#query', 'an animal at rest');
  await finished();
  for (const precision of ['exact', 'fast', 'balanced']) {
    await page.selectOption('#precision', precision);
    await page.waitForFunction(() => !document.querySelector('#precision').disabled, null, { timeout: 60_000 }); // loaded, and searched
    const nearest = await page.textContent('#nearest li span');
    note(`with precision '${precision}': "${nearest}"`);
    right &&= nearest.includes('cat');
  }
  return right;
}

/** Bytes of a protocol buffer: [field, value] pairs, where a value is a number, a text or bytes. */
function message(...fields) {
  const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
  return Uint8Array.from(fields.flatMap(([field, value]) => {
    if (typeof value === 'number') return [field << 3, ...varint(value)];
    const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
    return [(field << 3) | 2, ...varint(bytes.length), ...bytes];
  }));
}

/** An .onnx file of one node, whose first size is open. */
function onnx(operator) {
  const shape = message([1, message([2, 'rows'])], [1, message([1, 4])]);
  const port = (name) => message([1, name], [2, message([1, message([1, 1], [2, shape])])]);
  const graph = message([1, message([1, 'x'], [2, 'y'], [4, operator])], [2, 'g'], [11, port('x')], [12, port('y')]);
  return { name: `${operator.toLowerCase()}.onnx`, mimeType: '', buffer: Buffer.from(message([1, 8], [8, message([2, 17])], [7, graph])) };
}

function npy(values, shape) {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`.padEnd(117) + '\n';
  return { name: 'given.npy', mimeType: '', buffer: Buffer.concat([Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]), Buffer.from(header), Buffer.from(Float32Array.from(values).buffer)]) };
}

async function any(page, note) {
  const measured = () => page.waitForFunction(() => !document.querySelector('#run').disabled, null, { timeout: 60_000 });
  await measured();
  note(`an example: ${await page.textContent('#facts')}; ${await page.textContent('#profiled')}; ${await page.textContent('#outputs')}`);
  let right = (await page.locator('#layers li').count()) > 0 && (await page.locator('#operators span').count()) > 0;
  const opened = async (operator) => {
    await page.setInputFiles('#file', onnx(operator));
    await page.locator('#sizes input[name=rows]').fill('2');
    await page.click('#sizes button');
  };
  await opened('StringNormalizer');
  await page.locator('#error').waitFor({ timeout: 60_000 });
  const refusal = await page.textContent('#error p');
  note(`what it cannot run: "${refusal.slice(0, 90)}…"`);
  right &&= refusal.includes('StringNormalizer') && !(await page.isVisible('#trial'));
  await opened('Relu');
  await page.locator('#trial').waitFor({ timeout: 60_000 });
  await measured();
  await page.setInputFiles('#inputs input', npy([-1, 2, -3, 4, 5, -6, 7, -8], [2, 4]));
  await page.waitForFunction(() => document.querySelector('#inputs').textContent.includes('given.npy'));
  await page.waitForTimeout(200);
  const numbers = (await page.textContent('#outputs .numbers')).split(/\s+/).join(' ');
  note(`an .onnx file with given numbers: ${await page.textContent('#ports')} → ${numbers}`);
  right &&= numbers === '0 2 0 4 5 0 7 0';
  await page.selectOption('#threads', '1');
  await measured();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) throw new Error(`the page is ${wide} pixels too wide`);
  return right;
}

/** True when every page answered as it should. */
export async function checkPages(origin, folder) {
  const { chromium } = await import('playwright-core');
  mkdirSync(folder, { recursive: true });
  const browser = await chromium.launch({ executablePath: process.env.KILN_CHROMIUM ?? '/usr/bin/chromium', args: kChromium });
  let good = true;
  try {
    for (const [path, drive] of [['', digits], ['sentences.html', sentences], ['any.html', any]]) {
      for (const [screen, viewport] of Object.entries(kScreens)) {
        const page = await browser.newPage({ viewport });
        page.on('pageerror', (error) => (console.error(`page error: ${error}`), (good = false)));
        const note = (text) => console.log(`  [${screen}] ${text}`);
        const attempt = (work) => work.catch((error) => (console.error(`  [${screen}] ${error.message}`), false));
        const begin = async () => {
          await page.goto(`${origin}/${path}`);
          if (drive === any) await page.click('#examples button');
        };
        const told = await attempt(fails(page, note, begin));
        const passed = await attempt(drive(page, note));
        good &&= told && passed;
        await page.screenshot({ path: join(folder, `${drive.name}-${screen}.png`), fullPage: true });
        await page.close();
      }
    }
  } finally {
    await browser.close();
  }
  console.log(good ? 'demo: every page answered as it should' : 'demo: something is wrong');
  return good;
}
