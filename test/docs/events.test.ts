import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.join(import.meta.dirname, '../..');
const page = readFileSync(path.join(root, 'docs/events.md'), 'utf8');
const source = readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(path.join(root, 'src', file), 'utf8'))
  .join('\n');

/** Returns the body of an interface in the source, and the interface that it extends. */
function interfaceOf(name: string): { readonly base: string | undefined; readonly body: string } {
  const found = new RegExp(`^export interface ${name}(?: extends (\\w+))? \\{\\n(.*?)^\\}`, 'ms').exec(source);
  if (found === null) throw new Error(`the source has no interface ${name}`);
  return { base: found[1], body: found[2] ?? '' };
}

/** Returns the fields of a payload, `name` or `name?`, from an inline type or an interface including inherited fields. */
function fieldsOf(payload: string): string[] {
  if (payload.startsWith('{')) return [...payload.matchAll(/(\w+\??): /g)].map((match) => match[1] ?? '');
  const { base, body } = interfaceOf(payload);
  const own = [...body.matchAll(/^ {2}readonly (\w+\??): /gm)].map((match) => match[1] ?? '');
  return [...(base === undefined ? [] : fieldsOf(base)), ...own];
}

/** The payload of each event that the package declares. */
const declared = new Map(
  [...interfaceOf('RegistryEvents').body.matchAll(/^ {2}'?([\w.]+)'?: \[(.+)\];$/gm)].map((match) => [
    match[1] ?? '',
    fieldsOf(match[2] ?? ''),
  ]),
);

/** The fields in the table of each event. */
const documented = new Map(
  page
    .split(/^### `/m)
    .slice(1)
    .map((section) => {
      const rows = section.split('\n').filter((line) => line.startsWith('| `'));
      return [section.split('`')[0] ?? '', rows.map((row) => row.split('`')[1] ?? '')];
    }),
);

describe('docs/events.md', () => {
  it('is compared with payloads declared inline, by an interface and by inheritance', () => {
    expect(declared.get('tag.deleted')).toEqual(['at', 'tag', 'by']);
    expect(declared.get('request')).toContain('errorCode?');
    expect(declared.get('login.refused')).toEqual(expect.arrayContaining(['id', 'reason']));
  });

  it('documents all events, and no others', () => {
    expect([...documented.keys()].toSorted()).toEqual([...declared.keys()].toSorted());
  });

  it.each([...declared])('documents the payload of %s', (event, fields) => {
    expect(documented.get(event)?.toSorted()).toEqual(fields.toSorted());
  });
});
