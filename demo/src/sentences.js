import { Tokenizer } from '@huggingface/tokenizers';
import { Tensor } from 'wasmkiln';
import { Panel } from './panel.js';

const find = (id) => document.getElementById(id);
const kModel = '/models/minilm';
const kLength = 64;
const kSentences = [
  'The cat slept on the warm windowsill all afternoon.',
  'Our quarterly revenue grew by twelve percent.',
  'Simmer the tomatoes with garlic and serve over fresh pasta.',
  'The train to the coast leaves at half past nine.',
  'She finally beat her brother at chess.',
  'Scientists found water ice in the shadow of a crater.',
  'My knee hurts when I climb the stairs.',
  'How do I bake bread without yeast?',
  'The orchestra tuned while the hall went dark.',
  'A storm is expected to reach the islands by Friday.',
  'He fixed the leaking tap with a rubber washer.',
  'The new phone takes remarkable pictures at night.',
];

const tokenizer = fetch(`${kModel}/tokenizer.json`)
  .then((response) => response.json())
  .then((json) => new Tokenizer(json, { tokenizer_class: 'BertTokenizer' }));

function inputs(ids) {
  const padded = Array.from({ length: kLength }, (_, i) => ids[i] ?? 0);
  const mask = padded.map((_, i) => (i < ids.length ? 1 : 0));
  return { input_ids: new Tensor('int64', padded, [1, kLength]), attention_mask: new Tensor('int64', mask, [1, kLength]) };
}

/** Of a text that is longer than the model reads at once: each part with the marks that begin and end a text. */
async function parts(text) {
  const { ids } = (await tokenizer).encode(text);
  const [begin, end] = [ids[0], ids.at(-1)];
  const words = ids.slice(1, -1);
  const count = Math.max(1, Math.ceil(words.length / (kLength - 2)));
  const size = Math.ceil(words.length / count);
  return Array.from({ length: count }, (_, i) => [begin, ...words.slice(i * size, (i + 1) * size), end]);
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** 384 numbers of length one: the mean of what the parts mean. */
const known = new Map();
async function embed(text) {
  const found = known.get(text);
  if (found) return found;
  const sum = new Float32Array(384);
  for (const ids of await parts(text)) {
    const { embedding } = await panel.run(inputs(ids));
    embedding.data.forEach((x, i) => (sum[i] += x));
  }
  const length = Math.sqrt(dot(sum, sum));
  const mean = sum.map((x) => x / length);
  known.set(text, mean);
  return mean;
}

function show(rows) {
  const items = rows.map(({ text, near }, i) => {
    const item = document.createElement('li');
    item.className = i === 0 ? 'top' : '';
    item.innerHTML = '<span></span><b></b><span class="bar"><i></i></span>';
    item.children[0].textContent = text;
    item.children[1].textContent = near.toFixed(2).replace('-', '−');
    item.querySelector('i').style.width = `${100 * Math.max(0, near)}%`;
    return item;
  });
  find('nearest').replaceChildren(...items);
}

/** Typing is faster than a run: whatever was typed last wins. What is nearest so far is shown while the rest is read. */
let newest = 0;
const kRedrawMs = 150;
async function search() {
  const mine = ++newest;
  const query = find('query').value.trim();
  const texts = [...new Set(find('sentences').value.split('\n').map((line) => line.trim()).filter(Boolean))];
  if (!query || texts.length === 0) {
    show([]);
    find('says').textContent = query ? 'There are no sentences to look among.' : 'Write what to look for.';
    return;
  }
  if (!panel.model) return;
  find('says').textContent = 'Reading what you look for';
  const start = performance.now();
  const wanted = await embed(query);
  const rows = [];
  let drawn = 0;
  for (const text of texts) {
    if (mine !== newest) return;
    rows.push({ text, near: dot(wanted, await embed(text)) });
    if (performance.now() - Math.max(drawn, start) < kRedrawMs || mine !== newest) continue;
    drawn = performance.now();
    show(rows.sort((a, b) => b.near - a.near));
    find('says').textContent = `Nearest first, ${rows.length} of ${texts.length} read`;
  }
  if (mine !== newest) return;
  show(rows.sort((a, b) => b.near - a.near));
  find('says').textContent = `Nearest first, in ${(performance.now() - start).toFixed(0)} ms`;
}

find('sentences').value = kSentences.join('\n');
find('query').oninput = find('sentences').oninput = () => panel.attempt(search);
const searchAnew = () => {
  known.clear();
  return search();
};
const panel = new Panel(find('panel'), find('status'), `${kModel}/model.kiln`, searchAnew, true);
await panel.load();
