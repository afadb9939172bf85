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

async function tokenize(text) {
  const { ids } = (await tokenizer).encode(text);
  const kept = ids.length > kLength ? [...ids.slice(0, kLength - 1), ids.at(-1)] : ids;
  const padded = Array.from({ length: kLength }, (_, i) => kept[i] ?? 0);
  const mask = padded.map((_, i) => (i < kept.length ? 1 : 0));
  return { input_ids: new Tensor('int64', padded, [1, kLength]), attention_mask: new Tensor('int64', mask, [1, kLength]) };
}

const known = new Map();
async function embed(text) {
  const found = known.get(text);
  if (found) return found;
  const { embedding } = await panel.run(await tokenize(text));
  known.set(text, embedding.data);
  return embedding.data;
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

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

/** Typing is faster than a run: whatever was typed last wins. */
let newest = 0;
async function search() {
  const mine = ++newest;
  const query = find('query').value.trim();
  const texts = [...new Set(find('sentences').value.split('\n').map((line) => line.trim()).filter(Boolean))];
  if (!panel.model || !query) return;
  const start = performance.now();
  const wanted = await embed(query);
  const rows = [];
  for (const text of texts) {
    if (mine !== newest) return;
    rows.push({ text, near: dot(wanted, await embed(text)) });
    find('says').textContent = `Reading sentence ${rows.length} of ${texts.length}`;
  }
  if (mine !== newest) return;
  show(rows.sort((a, b) => b.near - a.near));
  find('says').textContent = `Nearest first, in ${(performance.now() - start).toFixed(0)} ms`;
}

find('sentences').value = kSentences.join('\n');
find('query').oninput = find('sentences').oninput = () => void search();
const searchAnew = () => {
  known.clear();
  return search();
};
const panel = new Panel(find('panel'), `${kModel}/model.kiln`, searchAnew, true);
await panel.load();
