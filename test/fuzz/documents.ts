import { describeBytes, types } from '../support/content/content.js';
import type { Random } from './random.js';

/** So large that a client may send it. */
const maxBytes = 4 * 1024 * 1024;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The text of a JSON document that was right once: as it was, with a few faults, or with one fault a hundred thousand times. */
export function bendDocument(random: Random, document: object): string {
  const draft = structuredClone(document) as Json;
  for (let bends = random.int(3); bends > 0; bends--) bendNode(random, draft);
  let text = JSON.stringify(draft);
  // Large ones are rare, for they take long to make.
  if (random.chance(0.04)) text = inflate(random, text);
  if (random.chance(0.1)) text = bendText(random, text);
  return text.slice(0, maxBytes);
}

/** Changes one place of the document, somewhere below the node. */
function bendNode(random: Random, node: Json): void {
  if (typeof node !== 'object' || node === null) return;
  const keys = Object.keys(node);
  const key = keys.length === 0 ? 'x' : random.pick(keys);
  const holder = node as { [key: string]: Json };
  const child = holder[key] ?? null;
  if (typeof child === 'object' && child !== null && random.chance(0.7)) return bendNode(random, child);
  switch (random.int(5)) {
    case 0:
      holder[key] = strangeValue(random);
      break;
    case 1:
      delete holder[key];
      break;
    case 2:
      holder[`${key}${random.int(9)}`] = strangeValue(random);
      break;
    case 3:
      holder[key] = Array.from({ length: random.int(60) }, () => child);
      break;
    default:
      holder[key] = nest(random.int(120), child);
  }
}

function strangeValue(random: Random): Json {
  return random.pick<Json>([
    null,
    true,
    -1,
    1e308,
    '',
    '\0',
    'sha256:0',
    `sha512:${'a'.repeat(128)}`,
    `blake3:${'a'.repeat(64)}`,
    'x'.repeat(random.int(3000)),
    [],
    {},
    [[], [[]]],
    { constructor: { prototype: {} }, toString: 1 },
    types.ociIndex,
    types.ociImage,
    describeBytes(types.ociImage, Buffer.from('{}')) as Json,
  ]);
}

function nest(depth: number, value: Json): Json {
  let nested = value;
  for (let level = 0; level < depth; level++) nested = level % 2 === 0 ? [nested] : { a: nested };
  return nested;
}

/** Puts one text into a list of the document, as often as fits. */
function inflate(random: Random, text: string): string {
  const filling = random.pick([
    '{}',
    '0',
    '[]',
    '""',
    '{"a":{}}',
    '[[[[[[[[]]]]]]]]',
    JSON.stringify(describeBytes('a', Buffer.from('x'))),
  ]);
  const bytes = random.pick([60_000, 500_000, maxBytes]);
  const many = Array.from({ length: Math.floor((bytes - text.length) / (filling.length + 1)) }, () => filling).join(
    ',',
  );
  const lists = [...text.matchAll(/\[/g)].map(({ index }) => index + 1);
  if (lists.length === 0 || random.chance(0.2))
    return random.pick([`[${many}]`, `{"manifests":[${many}]}`, '['.repeat(bytes), '{"a":'.repeat(bytes / 5)]);
  const at = random.pick(lists);
  return `${text.slice(0, at)}${many}${text[at] === ']' ? '' : ','}${text.slice(at)}`;
}

function bendText(random: Random, text: string): string {
  const at = random.int(text.length + 1);
  return random.pick([
    text.slice(0, at),
    text.slice(0, at) + random.pick(['"', '\\', '{', '}', ']', ',', '\u0000', '\ud800', 'é']) + text.slice(at),
    `${text}${text}`,
    `\ufeff${text}`,
  ]);
}
