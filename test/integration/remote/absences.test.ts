import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageManifest } from '../../support/content/content.js';
import type { Fault, FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups, MovableClock, startRemote, type RemoteScene } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let clock: MovableClock;
beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

const plain = { status: 404, body: 'default backend - 404', headers: { 'content-type': 'text/plain' } };

function start(): Promise<RemoteScene> {
  return startRemote(
    cleanups,
    { tagTtlSeconds: 60, listTtlSeconds: 60, negativeTtlSeconds: 20 },
    {
      others: (url) => [
        { name: 'through', type: 'remote', url, cache: false },
        { name: 'cached-first', type: 'virtual', members: ['hub', 'local'], order: 'as-listed' },
        { name: 'through-first', type: 'virtual', members: ['through', 'local'], order: 'as-listed' },
      ],
    },
  );
}

/** Replaces the registry by an ingress without a backend. */
function replace(fault: FaultUpstream, answer: Fault = plain): void {
  fault.fault('/', answer);
}

describe('a 404 that no registry wrote', () => {
  it('keeps cached tags and lists, which are served stale', async () => {
    const { fault, client } = await start();
    fault.images.addImage('team/app', 'v1');
    const paths = ['/v2/hub/team/app/manifests/v1', '/v2/hub/team/app/tags/list'];
    for (const path of paths) expect((await client.get(path)).status).toBe(200);
    replace(fault);
    clock.advance(61);
    for (let i = 0; i < 2; i++) {
      for (const path of paths) {
        const answer = await client.get(path);
        expect([answer.status, answer.header('x-cache')]).toEqual([200, 'stale']);
        expect(answer.header('warning')).toContain('/v2/ is not a registry');
      }
    }
  });

  it.each(['hub', 'through', 'cached-first', 'through-first'])(
    'is 503 with a reason for everything in %s, and no other member is asked',
    async (repository) => {
      const { fault, client } = await start();
      const { bytes, type } = imageManifest('own');
      const pushed = await client.put('/v2/local/team/app/manifests/v1', {
        body: bytes,
        headers: { 'Content-Type': type },
      });
      expect(pushed.status).toBe(201);
      replace(fault);
      const digest = `sha256:${'a'.repeat(64)}`;
      for (const rest of [
        'manifests/v1',
        `manifests/${digest}`,
        `blobs/${digest}`,
        'tags/list',
        `referrers/${digest}`,
      ]) {
        for (const method of rest.startsWith('manifests') || rest.startsWith('blobs') ? ['GET', 'HEAD'] : ['GET']) {
          const path = `/v2/${repository}/team/app/${rest}`;
          const answer = await (method === 'GET' ? client.get(path) : client.head(path));
          expect([method, rest, answer.status]).toEqual([method, rest, 503]);
          if (method === 'GET') expect(answer.body.toString()).toContain('/v2/ is not a registry');
        }
      }
    },
  );

  it.each(['hub', 'through', 'cached-first'])(
    'is an absence in %s while a registry answers /v2/',
    async (repository) => {
      const { fault, client } = await start();
      fault.fault('/team/', plain);
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => client.get(`/v2/${repository}/team/app/manifests/v${i}`)),
      );
      expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(404));
    },
  );

  it.each([
    ['asks for a login', { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }, 404],
    ['is a web page', { body: '<html>', headers: { 'content-type': 'text/html' } }, 503],
    ['answers a bare 401', { status: 401 }, 503],
    ['answers 403', { status: 403 }, 503],
    ['answers 500', { status: 500 }, 503],
    ['does not answer', { reset: true }, 503],
  ])('is checked at /v2/, which %s', async (_what, ping, expected) => {
    const { fault, client } = await start();
    fault.fault('/team/', plain);
    fault.fault(/^\/v2\/$/, ping);
    expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(expected);
    expect((await client.get('/v2/through/team/app/manifests/v1')).status).toBe(expected);
  });

  it('is not checked when the body is the error of a registry', async () => {
    const { fault, client } = await start();
    for (const repository of ['hub', 'through'])
      expect((await client.get(`/v2/${repository}/team/app/manifests/v1`)).status).toBe(404);
    expect(fault.count(/^\/v2\/$/)).toBe(0);
  });

  it('is forgotten when the registry is back', async () => {
    const { fault, client } = await start();
    fault.images.addImage('team/app', 'v1');
    replace(fault);
    expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(503);
    fault.heal();
    expect((await client.get('/v2/hub/team/app/manifests/v1')).status).toBe(200);
    expect((await client.get('/v2/hub/team/app/manifests/v2')).status).toBe(404);
  });
});

describe('a registry that was there a moment ago', () => {
  it.each(['cached-first', 'through-first'])(
    'does not make the absence of a private tag in %s believable: the next member is not asked',
    async (repository) => {
      const { fault, client } = await start();
      const { bytes, type } = imageManifest('public');
      const pushed = { body: bytes, headers: { 'Content-Type': type } };
      await client.put('/v2/local/team/app/manifests/v1', pushed);
      fault.fault('/team/', plain);
      // Whether /v2/ is a registry is found out, and it is one.
      expect((await client.get(`/v2/${repository}/team/other/manifests/v1`)).status).toBe(404);
      replace(fault);
      expect((await client.get(`/v2/${repository}/team/app/manifests/v1`)).status).toBe(503);
    },
  );

  it.each([
    ['an empty list', '{"errors":[]}'],
    ['an error without a code', '{"errors":[{"status":404,"message":"Not Found"}]}'],
    ['an error whose code is a number', '{"errors":[{"code":404}]}'],
  ])('is not recognized by %s in the 404 of a gateway', async (_what, body) => {
    const { fault, client } = await start();
    replace(fault, { status: 404, body, headers: { 'content-type': 'application/json' } });
    for (const repository of ['hub', 'through', 'cached-first', 'through-first']) {
      expect((await client.get(`/v2/${repository}/team/app/manifests/v1`)).status).toBe(503);
    }
  });
});
