import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { createHostMatcher, refuseForeignPages } from '../../../src/http/clients/web-pages.js';
import { endpoints } from '../../../src/protocol/tables/endpoints.js';
import { managementEndpoints } from '../../../src/protocol/tables/management.js';
import type { Endpoint } from '../../../src/protocol/tables/route-table.js';

const isKnown = createHostMatcher({ publicUrl: 'https://registry.example', hosts: { 'Hub.example': 'hub' } });
const push = { access: 'push' } as Endpoint;

function passes(row: Endpoint, origin: string | undefined, host: string): boolean {
  const req = { headers: { origin, host } } as IncomingMessage;
  try {
    refuseForeignPages(req, row, { address: '127.0.0.1', host, origin: 'https://registry.example' }, isKnown);
    return true;
  } catch {
    return false;
  }
}

describe('an open registry', () => {
  it.each<[origin: string | undefined, host: string, expected: boolean]>([
    [undefined, 'localhost:5000', true],
    [undefined, 'anything.example', true],
    ['http://localhost:5000', 'localhost:5000', true],
    ['http://127.0.0.1:5000', '127.0.0.1:5000', true],
    ['http://[::1]:5000', '[::1]:5000', true],
    ['https://registry.example', '127.0.0.1:5000', true],
    ['https://hub.example', 'hub.example', true],
    ['http://hub.example:5000', 'hub.example:5000', true],
    // DNS rebinding.
    ['http://evil.example:5000', 'evil.example:5000', false],
    ['http://evil.example', 'evil.example', false],
    ['http://127.0.0.1.evil.example:5000', '127.0.0.1.evil.example:5000', false],
    ['http://localhost.evil.example', 'localhost.evil.example', false],
    // Another program on this machine.
    ['http://localhost:3000', 'localhost:5000', false],
    ['http://evil.example', 'localhost:5000', false],
    ['null', 'localhost:5000', false],
    ['file://', 'localhost:5000', false],
  ])('takes a push with Origin %s to %s: %s', (origin, host, expected) => {
    expect(passes(push, origin, host)).toBe(expected);
  });

  it('refuses a rebound page every operation that changes something', () => {
    const rows: readonly Endpoint[] = [...endpoints, ...managementEndpoints];
    const allowed = rows.filter((row) => passes(row, 'http://evil.example', 'evil.example'));
    expect(new Set(allowed.map(({ method }) => method))).toEqual(new Set(['GET', 'HEAD']));
    expect(new Set(allowed.map(({ access }) => access))).toEqual(new Set(['ping', 'pull']));
  });
});
