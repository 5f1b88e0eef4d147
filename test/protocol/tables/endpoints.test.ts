import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endpoints, locations, registryRoutes } from '../../../src/protocol/tables/endpoints.js';
import { managementEndpoints, managementRoutes } from '../../../src/protocol/tables/management.js';
import {
  formatReference,
  parseName,
  parseReference,
  parseSessionId,
  type Reference,
} from '../../../src/protocol/names.js';
import { parseDigest } from '../../../src/protocol/digest.js';
import {
  buildPath,
  placeholderPatterns,
  type Endpoint,
  type RouteTable,
} from '../../../src/protocol/tables/route-table.js';
import * as arbitrary from '../../support/content/arbitraries.js';

const placeholders = {
  name: arbitrary.name,
  image: arbitrary.name,
  repository: arbitrary.component.filter(({ length }) => length <= 128),
  digest: arbitrary.digest,
  reference: fc.oneof(arbitrary.tag, arbitrary.digest),
  session: arbitrary.session,
  account: fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,30}$/),
  person: fc.stringMatching(/^[a-z0-9][a-z0-9._@+-]{0,30}$/),
  token: fc.stringMatching(/^[a-f0-9]{16}$/),
  rule: fc.oneof(fc.uuid(), fc.constantFrom('declared-1', 'declared-20')),
  sync: arbitrary.component.filter(({ length }) => length <= 64),
  webhook: arbitrary.component.filter(({ length }) => length <= 64),
  provider: fc.stringMatching(/^[a-z0-9]{1,20}$/),
  login: fc.stringMatching(/^[a-f0-9]{64}$/),
  delivery: fc.stringMatching(/^[1-9][0-9]{0,14}$/),
  job: fc.stringMatching(/^[a-z-]{1,20}-[a-f0-9]{12}$/).filter((id) => !id.startsWith('-')),
};

/** Generates values for the placeholders in the path, as text. */
function paramsOf(path: string): fc.Arbitrary<Record<string, string>> {
  const names = new Set([...path.matchAll(/:([a-z]+)/g)].map((match) => match[1]));
  return fc.record(Object.fromEntries(Object.entries(placeholders).filter(([name]) => names.has(name))));
}

function asText(params: Readonly<Record<string, unknown>>): Record<string, string> {
  const text = (value: unknown): string =>
    typeof value === 'string' || typeof value === 'number' ? `${value}` : formatReference(value as Reference);
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, text(value)]));
}

interface Table {
  readonly title: string;
  readonly rows: readonly Endpoint[];
  readonly routes: RouteTable<Endpoint>;
}

const tables: readonly Table[] = [
  { title: 'endpoints', rows: endpoints, routes: registryRoutes },
  {
    title: 'managementEndpoints',
    rows: managementEndpoints,
    routes: managementRoutes,
  },
];

describe.each(tables)('$title', ({ rows, routes }) => {
  it.each(rows)('matches the paths that buildPath builds for $op', ({ op, method, path }) => {
    fc.assert(
      fc.property(paramsOf(path), (params) => {
        const built = buildPath(path, params);
        const match = routes.match(method, built);
        expect(match?.row.op).toBe(op);
        expect(asText(match?.params ?? {})).toEqual(params);
        const other = built.endsWith('/') ? built.slice(0, -1) : encodeURI(built).replaceAll(':', '%3A');
        expect(routes.match(method, other)?.row.op).toBe(op);
      }),
    );
  });

  it('has distinct rows', () => {
    expect(new Set(rows.map(({ op }) => op)).size).toBe(rows.length);
    // Two rows with the same method must not match the same paths, even if their placeholders have different names.
    const shapes = rows.map(({ method, path }) => `${method} ${path.replace(/:[a-z]+/g, ':')}`);
    expect(new Set(shapes).size).toBe(rows.length);
  });

  it('builds distinct paths for distinct rows with the same method', () => {
    fc.assert(
      fc.property(fc.record<Record<string, string>>(placeholders), (values) => {
        const built = rows.map(({ method, path }) => `${method} ${buildPath(path, values)}`);
        expect(new Set(built).size).toBe(rows.length);
      }),
    );
  });

  it.each(rows)('describes $op completely', ({ op, access, path, summary, spec }) => {
    expect(op).toMatch(/^[a-z]+\.[a-zA-Z]+$/);
    expect(summary).toMatch(/^[A-Z].*\.$/);
    expect(spec).not.toBe('');
    expect(path.startsWith('/')).toBe(true);
    expect(access).not.toBe('');
  });
});

describe('placeholderPatterns', () => {
  it.each(Object.entries(placeholderPatterns))('matches the values of %s that its parser accepts', (name, pattern) => {
    fc.assert(fc.property(paramsOf(`/:${name}`), (values) => pattern.test(values[name] ?? '')));
    // Providers report names in any script.
    const more = name === 'person' ? [] : ['/', 'ä'];
    for (const other of ['', ' ', '..', 'a b', 'a:b', ...more]) expect(pattern.test(other), other).toBe(false);
  });
});

describe('endpoints', () => {
  it('require push, not delete, to cancel an upload', () => {
    expect(endpoints.find(({ op }) => op === 'upload.cancel')?.access).toBe('push');
  });

  it.each([
    ['pull', ['blob.stat', 'blob.get', 'manifest.stat', 'manifest.get', 'tag.list', 'referrer.list']],
    ['delete', ['blob.delete', 'manifest.delete']],
    ['ping', ['version.check']],
    ['catalog', ['catalog.list']],
  ])('require %s for the operations that the specification names', (access, ops) => {
    expect(endpoints.filter((row) => row.access === access).map(({ op }) => op)).toEqual(ops);
  });

  it('have Locations that are paths without a query', () => {
    fc.assert(
      fc.property(fc.record(placeholders), (values) => {
        const name = parseName(values.name);
        const made = [
          locations.blob(name, parseDigest(values.digest)),
          locations.manifest(name, parseReference(values.reference)),
          locations.upload(name, parseSessionId(values.session)),
        ];
        for (const location of made) expect(location).toMatch(/^\/v2\/[A-Za-z0-9/._:-]+$/);
      }),
    );
  });
});
