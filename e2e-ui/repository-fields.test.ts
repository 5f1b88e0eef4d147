import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  fieldsOf,
  problemsByField,
  settingsOf,
  valuesFor,
  type Field,
  type Schema,
} from '../ui/src/views/repositories/repository-fields.js';

const file = path.join(import.meta.dirname, '../docs/openapi.json');
const { components } = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
};
const fieldsIn = (type: string): readonly Field[] => fieldsOf(components.schemas[`${type}Repository`] ?? {});
const types = ['Local', 'Remote', 'Virtual'] as const;
const remote = fieldsIn('Remote');

type Row = readonly [name: string, text: string, value: unknown, again?: string];

/** The value that a text gives, and the text that this value gives again, if it is another one. */
const rows: readonly Row[] = [
  ['description', ' some text ', 'some text', 'some text'],
  ['tag_ttl_seconds', '60', 60],
  ['tag_ttl_seconds', '0', 0],
  ['tag_ttl_seconds', '5m', 300, '300'],
  ['tag_ttl_seconds', '1.5 h', 5400, '5400'],
  ['tag_ttl_seconds', '7d', 604_800, '604800'],
  ['tag_ttl_seconds', 'soon', 'soon'],
  ['tag_ttl_seconds', '5 x', '5 x'],
  ['tag_ttl_seconds', '1.2.3', '1.2.3'],
  ['max_cache_bytes', '10 GiB', 10_737_418_240, '10737418240'],
  ['max_cache_bytes', '1mib', 1_048_576, '1048576'],
  ['cache', 'false', false],
  ['docker_hub', 'true', true],
  ['when_absent', 'keep', 'keep'],
  ['upstream', 'quay.io', 'quay.io'],
  ['pins', 'a/** b:1,c', ['a/**', 'b:1', 'c'], 'a/** b:1 c'],
  [
    'tag_ttl_rules',
    '*-snapshot 10\n\n v* 1h ',
    [
      { tags: '*-snapshot', ttl_seconds: 10 },
      { tags: 'v*', ttl_seconds: 3600 },
    ],
    '*-snapshot 10\nv* 3600',
  ],
  ['tag_ttl_rules', 'v*', [{ tags: 'v*', ttl_seconds: '' }], 'v* '],
  ['allow_private_targets', 'true', true],
  ['allow_private_targets', 'false', false, ''],
  ['allow_private_targets', '10.0.0.0/8 git.example', ['10.0.0.0/8', 'git.example']],
  ['ca', 'one\ntwo', 'one\ntwo'],
];

describe('the fields of repositories', () => {
  it.each(rows.map(([name, text, value, again = text]) => ({ name, text, value, again })))(
    'read and show $name: $text',
    ({ name, text, value, again }) => {
      const settings = settingsOf(remote, { [name]: text });
      expect(settings).toEqual({ [name]: value });
      expect(valuesFor(remote, settings)[name]).toBe(again);
    },
  );

  it.each([
    ['one', ['one']],
    ['one\ntwo a/** !a/b', ['one', { name: 'two', include: ['a/**'], exclude: ['a/b'] }]],
  ])('read and show members: %j', (text, members) => {
    const virtual = fieldsIn('Virtual');
    expect(settingsOf(virtual, { members: text })).toEqual({ members });
    expect(valuesFor(virtual, { members })['members']).toBe(text);
  });

  it.each(types)('of a new %s repository with its initial values leave out or repeat the defaults', (type) => {
    const fields = fieldsIn(type);
    const settings = settingsOf(fields, valuesFor(fields));
    const schema = components.schemas[`${type}Repository`]?.properties ?? {};
    expect(Object.keys(settings).length).toBeGreaterThan(0);
    for (const [name, value] of Object.entries(settings)) expect([name, value]).toEqual([name, schema[name]?.default]);
  });

  it.each(types)('of a %s repository have a title, a text of help, and choices where the registry has them', (type) => {
    const fields = fieldsIn(type);
    expect(fields.filter(({ title, help }) => title === '' || help === '')).toEqual([]);
    expect(fields.filter(({ kind, choices }) => (kind === 'choice') !== choices.length > 1)).toEqual([]);
  });

  it('send no URL beside a well-known upstream', () => {
    const url = 'https://quay.io';
    expect(settingsOf(remote, { upstream: 'quay.io', url })).toEqual({ upstream: 'quay.io' });
    expect(settingsOf(remote, { upstream: '', url })).toEqual({ url });
  });

  it('show each problem at the first name in its path', () => {
    const detail = [
      { path: 'members[1].name', problem: 'must be a name' },
      { path: 'members', problem: 'must not form a cycle' },
      { path: '', problem: 'must be a JSON object' },
      { path: '(both) push_to', problem: 'is not a member' },
    ];
    expect(problemsByField(detail)).toEqual({
      members: '[1].name must be a name; must not form a cycle',
      '': 'must be a JSON object; (both) push_to is not a member',
    });
    expect([undefined, 'text', {}].map(problemsByField)).toEqual([{}, {}, {}]);
  });
});
