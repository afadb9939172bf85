import { Tokenizer } from '@huggingface/tokenizers';
import { Tensor } from 'wasmkiln';
import { Panel } from './panel.js';

const find = (id) => document.getElementById(id);
const kModel = '/models/minilm';
/** Most lines are short: several are read at once. What is longer has a model of its own, and is read in parts if it must. */
const kShort = { batch: 4, sequence: 16 };
const kLong = { batch: 1, sequence: 64 };
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

/** Up to `batch` rows of tokens, filled up with nothing. */
function inputs(rows, { batch, sequence }) {
  const at = (row, i) => rows[row]?.[i];
  const filled = (value) => Array.from({ length: batch * sequence }, (_, i) => value(at(Math.floor(i / sequence), i % sequence)));
  const tensor = (value) => new Tensor('int64', filled(value), [batch, sequence]);
  return { input_ids: tensor((id) => id ?? 0), attention_mask: tensor((id) => (id === undefined ? 0 : 1)) };
}

/** Of a text that is longer than the model reads at once: each part with the marks that begin and end a text. */
async function parts(text) {
  const { ids } = (await tokenizer).encode(text);
  const [begin, end] = [ids[0], ids.at(-1)];
  const words = ids.slice(1, -1);
  const count = Math.max(1, Math.ceil(words.length / (kLong.sequence - 2)));
  const size = Math.ceil(words.length / count);
  return Array.from({ length: count }, (_, i) => [begin, ...words.slice(i * size, (i + 1) * size), end]);
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

/** 384 numbers of length one for each text: the mean of what its parts mean. */
const known = new Map();
function learn(text, embeddings) {
  const sum = embeddings.reduce((all, each) => all.map((x, i) => x + each[i]));
  const length = Math.sqrt(dot(sum, sum));
  known.set(text, sum.map((x) => x / length));
}
async function readShort(texts) {
  const { embedding } = await panel.run(inputs(texts.map(({ rows }) => rows[0]), kShort));
  texts.forEach(({ text }, i) => learn(text, [embedding.data.slice(i * 384, (i + 1) * 384)]));
}
async function readLong({ text, rows }) {
  const model = await panel.sized(kLong);
  const embeddings = [];
  for (const row of rows) embeddings.push((await model.run(inputs([row], kLong))).embedding.data);
  learn(text, embeddings);
}

/** Reads what is not known yet, short texts first; says after every run which texts are known now. */
async function* read(texts) {
  const fresh = [];
  for (const text of texts) if (!known.has(text)) fresh.push({ text, rows: await parts(text) });
  const isShort = ({ rows }) => rows.length === 1 && rows[0].length <= kShort.sequence;
  const short = fresh.filter(isShort);
  yield texts.filter((text) => known.has(text));
  for (let i = 0; i < short.length; i += kShort.batch) {
    const few = short.slice(i, i + kShort.batch);
    await readShort(few);
    yield few.map(({ text }) => text);
  }
  for (const each of fresh.filter((text) => !isShort(text))) {
    await readLong(each);
    yield [each.text];
  }
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

/** Typing is faster than a run, and a paste is an event a line: whatever came last wins. What is nearest so far is shown while the rest is read. */
let newest = 0;
const kPauseMs = 20;
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
  await new Promise((resolve) => setTimeout(resolve, kPauseMs));
  if (mine !== newest) return;
  const start = performance.now();
  for await (const _ of read([query])) if (mine !== newest) return;
  const rows = [];
  let drawn = 0;
  for await (const some of read(texts)) {
    if (mine !== newest) return;
    rows.push(...some.map((text) => ({ text, near: dot(known.get(query), known.get(text)) })));
    if (performance.now() - Math.max(drawn, start) < kRedrawMs) continue;
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
const panel = new Panel(find('panel'), find('status'), `${kModel}/any.kiln`, searchAnew, { offersPrecision: true, dims: kShort });
await panel.load();
