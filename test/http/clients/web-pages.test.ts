import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { createHostMatcher, refuseForeignPages, refuseUnknownHosts } from '../../../src/http/clients/web-pages.js';
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
    // IP addresses cannot be rebound.
    ['http://192.168.1.5:5000', '192.168.1.5:5000', true],
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
  ])('accepts a push with Origin %s to %s: %s', (origin, host, expected) => {
    expect(passes(push, origin, host)).toBe(expected);
  });

  it('refuses all operations except reads to a page with a rebound name', () => {
    const rows: readonly Endpoint[] = [...endpoints, ...managementEndpoints];
    const allowed = rows.filter((row) => passes(row, 'http://evil.example', 'evil.example'));
    expect(new Set(allowed.map(({ method }) => method))).toEqual(new Set(['GET', 'HEAD']));
    expect(new Set(allowed.map(({ access }) => access))).toEqual(new Set(['ping', 'pull']));
  });
});

const pull = { op: 'manifest.get', access: 'pull' } as Endpoint;

function reads(headers: IncomingMessage['headers'], host: string | undefined, row = pull): boolean {
  try {
    refuseUnknownHosts({ headers } as IncomingMessage, row, { address: '127.0.0.1', host, origin: undefined }, isKnown);
    return true;
  } catch {
    return false;
  }
}

describe('a registry that anyone may read', () => {
  // The relevant headers of a GET to the same origin over plain http.
  const senders = {
    'Chrome, by a name': { 'accept-language': 'en-US,en;q=0.9', 'user-agent': 'Mozilla/5.0' },
    'Chrome, on loopback or over https': {
      'accept-language': 'en',
      'sec-fetch-site': 'same-origin',
      'sec-fetch-mode': 'cors',
    },
    'a page that changes all headers that it can': { 'accept-language': '', 'user-agent': 'docker/24.0.7' },
    'a page that writes': { origin: 'http://evil.example' },
    'docker, podman, crane, curl': { 'user-agent': 'docker/24.0.7', 'accept-encoding': 'gzip' },
    "Node's fetch": { 'accept-language': '*', 'sec-fetch-mode': 'cors', 'user-agent': 'node' },
  };
  const clients = new Set(['docker, podman, crane, curl', "Node's fetch"]);

  it.each(Object.entries(senders))(
    'accepts reads from clients under any host name, and from browsers only under known names: %s',
    (title, headers) => {
      const isClient = clients.has(title);
      for (const host of [
        'evil.example:5000',
        'localhost.evil.example',
        '127.0.0.1.evil.example',
        'registry',
        '',
        undefined,
      ]) {
        expect(reads(headers, host), host).toBe(isClient);
      }
      const known = [
        'LOCALHOST:5000',
        '127.0.0.1',
        '[::1]:5000',
        '10.1.2.3:5000',
        '[fd00::1]',
        'Registry.example',
        'hub.example:5000',
      ];
      for (const host of known) expect(reads(headers, host), host).toBe(true);
    },
  );

  it('refuses all operations except health checks and the OpenAPI document to a browser that uses an unknown host name', () => {
    const rows: readonly Endpoint[] = [...endpoints, ...managementEndpoints];
    const allowed = rows.filter((row) => reads({ 'accept-language': 'en' }, 'evil.example', row));
    expect(allowed.map(({ op }) => op)).toEqual(['health.get', 'openapi.get']);
  });

  it('names the unknown host and the options to set', () => {
    const client = { address: '127.0.0.1', host: 'Lan.example:5000', origin: undefined };
    const req = { headers: { 'accept-language': 'en' } } as IncomingMessage;
    expect(() => refuseUnknownHosts(req, pull, client, isKnown)).toThrow(
      'unknown host "lan.example:5000" in a browser request: set publicUrl or hosts if it is a name of this registry',
    );
  });
});
