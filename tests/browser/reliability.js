// The table of docs/reliability.md: what a user gets of each fault in each engine, as the tests have found it.
import { readFileSync, writeFileSync } from 'node:fs';

const kEngines = { chromium: 'Chromium', firefox: 'Firefox', webkit: 'WebKitGTK', node: 'Node' };
const kBegin = '<!-- faults -->\n', kEnd = '<!-- /faults -->\n';
const kReturns = 'loads again for who comes back';
/** Rows that other tests bring, by what they are called there. */
const kNames = { [kReturns]: 'the page is left while it loads, and comes back from the back-forward cache' };
const kWords = { 'from the back-forward cache': 'recovers', 'the browser did not keep the page': '—' };

const cells = (line) => line.split('|').slice(1, -1).map((cell) => cell.trim());

function read(text) {
  const [head, , ...rows] = text.split('\n').filter((line) => line.startsWith('|')).map(cells);
  const engines = (head ?? []).slice(1).map((title) => Object.keys(kEngines).find((engine) => kEngines[engine] === title));
  return new Map(rows.map(([fault, ...words]) => [fault, Object.fromEntries(engines.map((engine, i) => [engine, words[i]]))]));
}

function write(rows) {
  const line = (words) => `| ${words.join(' | ')} |\n`;
  return line(['what goes wrong', ...Object.values(kEngines)]) + line(['---', ...Object.values(kEngines).map(() => '---')]) + [...rows].map(([fault, found]) => line([fault, ...Object.keys(kEngines).map((engine) => found[engine] ?? '—')])).join('');
}

/** Throws what the document does not say of what was found; with KILN_WRITE=1 it says so afterwards. Engines that were not here keep their column. `all`: no fault was left out. */
export function checkTable(path, outcomes, all) {
  const document = readFileSync(path, 'utf8');
  const [before, rest] = document.split(kBegin);
  const [table, after] = rest.split(kEnd);
  const said = read(table);
  const wrong = [], rows = new Map(all ? [] : said);
  for (const [engine, found] of Object.entries(outcomes))
    for (const [name, note] of Object.entries(found)) {
      const fault = kNames[name] ?? name;
      const outcome = kWords[note] ?? note;
      const before = said.get(fault)?.[engine];
      if (before !== outcome) wrong.push(`${kEngines[engine]}, ${fault}: ${outcome}, not ${before}`);
      rows.set(fault, { ...said.get(fault), ...rows.get(fault), [engine]: outcome });
    }
  if (all && Object.keys(outcomes).length === Object.keys(kEngines).length) for (const fault of said.keys()) if (!rows.has(fault)) wrong.push(`${fault}: nobody tries it`);
  if (process.env.KILN_WRITE) writeFileSync(path, before + kBegin + write(rows) + kEnd + after);
  if (wrong.length) throw new Error(`docs/reliability.md says something else (KILN_WRITE=1 mends it):\n${wrong.join('\n')}`);
}
