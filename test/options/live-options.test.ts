import { describe, expect, it } from 'vitest';
import { serverSchema } from '../../src/command/config-file.js';
import { serverReloading } from '../../src/command/serve/reloader.js';
import { compareResolved, optionReloading, refuseRestarts } from '../../src/options/live-options.js';
import { optionsSchema } from '../../src/options/options-schema.js';
import { OptionsError, resolveOptions } from '../../src/options/resolve-options.js';
import type { RegistryOptions } from '../../src/index.js';
import { reloadingOf, type OptionChange } from '../../src/protocol/settings/option-changes.js';

const base = {
  storage: '/data',
  logger: console,
  access: { rules: [{ users: ['ana'], allow: ['admin'] }], groups: { team: ['ana'] } },
  repositories: [
    { name: 'local', type: 'local' },
    { name: 'hub', type: 'remote', url: 'https://hub.example', credentials: { username: 'u', password: 'SECRET' } },
  ],
} as const satisfies RegistryOptions;

function compare(change: Partial<RegistryOptions>): OptionChange[] {
  return compareResolved(resolveOptions(base), resolveOptions({ ...base, ...change }));
}

describe('the table of what a reload does with each option', () => {
  it('has every option of the schema, and no other', () => {
    const audit = Object.keys(optionsSchema.shape.audit.def.innerType.shape).map((name) => `audit.${name}`);
    expect(Object.keys(optionReloading).sort()).toEqual([...Object.keys(optionsSchema.shape), ...audit].sort());
  });

  it('has every option of the server section, and no other', () => {
    const tls = Object.keys(serverSchema.shape.tls.def.innerType.shape).map((name) => `tls.${name}`);
    const names = [...Object.keys(serverSchema.shape), ...tls].map((name) => `server.${name}`);
    expect(Object.keys(serverReloading).sort()).toEqual(names.sort());
  });

  it.each([
    ['server.tls', 'restart'],
    ['server.tls.cert', 'live'],
    ['server.port', 'restart'],
    ['server.other', undefined],
    ['server', undefined],
  ])('decides about %s by the closest option: %s', (option, expected) => {
    expect(reloadingOf({ option, change: 'changed' }, serverReloading)).toBe(expected);
  });
});

describe('the comparison of two configurations', () => {
  const hub = base.repositories[1];

  it.each<[string, Partial<RegistryOptions>, OptionChange[]]>([
    ['nothing', {}, []],
    ['the order of repositories', { repositories: base.repositories.toReversed() }, []],
    ['a number', { limits: { maxBlobBytes: 5 } }, [{ option: 'limits.maxBlobBytes', change: 'added', to: 5 }]],
    [
      'a time',
      { garbageCollection: { graceSeconds: 5 } },
      [{ option: 'garbageCollection.graceSeconds', change: 'changed', from: 86_400, to: 5 }],
    ],
    [
      'a switch',
      { acceptEmptyIndex: true },
      [{ option: 'acceptEmptyIndex', change: 'changed', from: false, to: true }],
    ],
    ['a text', { prefix: '/x' }, [{ option: 'prefix', change: 'changed' }]],
    ['an entry', { hosts: { 'hub.example.com': 'hub' } }, [{ option: 'hosts.hub.example.com', change: 'added' }]],
    [
      'repositories',
      { repositories: [hub, { name: 'new', type: 'local' }] },
      [
        { option: 'repositories.local', change: 'removed' },
        { option: 'repositories.new', change: 'added' },
      ],
    ],
    [
      'settings of a repository',
      { repositories: [base.repositories[0], { ...hub, tagTtlSeconds: 5, pins: ['a'] }] },
      [
        { option: 'repositories.hub.tagTtlSeconds', change: 'changed', from: 300, to: 5 },
        { option: 'repositories.hub.pins', change: 'changed' },
      ],
    ],
    [
      'a secret',
      { repositories: [base.repositories[0], { ...hub, credentials: { username: 'u', password: 'OTHER' } }] },
      [{ option: 'repositories.hub.credentials.password', change: 'changed' }],
    ],
    [
      'rules and groups',
      { access: { rules: [], groups: { team: ['ana', 'ben'] } } },
      [
        { option: 'access.rules', change: 'changed' },
        { option: 'access.groups.team', change: 'changed' },
      ],
    ],
    ['the access mode', { access: 'open' }, [{ option: 'access', change: 'changed' }]],
    ['another logger', { logger: { ...console } }, [{ option: 'logger', change: 'changed' }]],
  ])('reports %s', (_what, change, expected) => {
    expect(compare(change)).toEqual(expected);
  });

  it('reports all changes that need a restart together, by path', () => {
    const changes = compare({ storage: '/other', prefix: '/x', limits: { maxBlobBytes: 5 } });
    expect(changes).toHaveLength(3);
    const problem = 'cannot change while the registry runs: restart it, or restore the previous value';
    expect(() => refuseRestarts(changes)).toThrow(
      new OptionsError([
        { path: 'storage', problem },
        { path: 'prefix', problem },
      ]),
    );
  });
});
