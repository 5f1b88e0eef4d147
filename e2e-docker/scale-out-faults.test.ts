import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startFaultProxy, type FaultProxy } from '../test/s3/support/fault-proxy.js';
import { basicAuthorization, htpasswd } from './support/access-bed.js';
import { describeClient } from './support/client-suite.js';
import { http, header, mustBe, RegistryHttp } from './support/registry-http.js';
import { mustPull, startLoad } from './support/scale-out-load.js';
import { startScaledOut, type ScaledOut } from './support/scale-out.js';
import { openWorkspace, type Workspace } from './support/test-bed.js';

/** `SCALE_OUT_FAULT_SECONDS=30 npm run e2e -- scale-out-faults` is the long form. */
const faultMs = Number(process.env['SCALE_OUT_FAULT_SECONDS'] ?? 2) * 1000;

describeClient('three nodes whose services fail', ['nginx', 'versitygw'], () => {
  let bed: Workspace;
  let scaled: ScaledOut;
  let store: FaultProxy;
  let registry: RegistryHttp;
  let loads = 0;

  beforeAll(async () => {
    bed = await openWorkspace();
    const file = join(bed.folder, 'htpasswd');
    await writeFile(file, htpasswd.join('\n'));
    const rules = [
      { users: ['root'], allow: ['admin'] },
      { names: 'local/**', users: ['ana'], allow: ['pull', 'push', 'delete'] },
    ];
    scaled = await startScaledOut(bed, {
      settings: { access: { htpasswd: file, rules } },
      s3: async (server) => {
        store = await startFaultProxy(server);
        bed.onClose(() => store.stop());
        return { endpoint: store.endpoint.href };
      },
    });
    registry = as('ana');
  }, 120_000);
  afterAll(() => bed?.close());

  function as(user: 'ana' | 'root', origin = scaled.origin): RegistryHttp {
    return new RegistryHttp(origin, undefined, { authorization: basicAuthorization(user) });
  }

  /** Returns the status of `/healthz` or `/readyz` on all nodes. */
  function probe(path: string): Promise<number[]> {
    return Promise.all(scaled.nodes.map(async ({ origin }) => (await http(`${origin}${path}`)).status));
  }

  /**
   * Breaks something while clients push and pull. Afterwards their pushes go on, every acknowledged image is complete, and the
   * latest ones are so on every node.
   */
  async function underLoad(name: string, fault: () => Promise<unknown>): Promise<void> {
    const load = startLoad(registry, name, ++loads);
    try {
      await load.more(2);
      await fault();
      await load.more(2);
    } finally {
      await load.stop();
    }
    for (const pushed of load.acknowledged) await mustPull(registry, pushed);
    for (const pushed of load.acknowledged.slice(-3)) {
      for (const { origin } of scaled.nodes) await mustPull(as('ana', origin), pushed);
    }
    await expect.poll(() => probe('/readyz')).toEqual([200, 200, 200]);
    const { deleted, repeated, pulled, broken } = load.counts;
    console.log(
      `scale-out: ${name}: ${load.acknowledged.length} images acknowledged, ${deleted} deleted, ${pulled} pulled, ` +
        `${repeated} pushes repeated, ${broken} pulls broken, 0 lost, 0 torn`,
    );
  }

  test('nothing acknowledged is lost while PostgreSQL hangs, and the nodes stay alive', async () => {
    await underLoad('hang', async () => {
      await scaled.database.pause();
      try {
        await sleep(faultMs);
        expect(await probe('/healthz')).toEqual([200, 200, 200]);
      } finally {
        await scaled.database.resume();
      }
    });
  });

  test('nothing acknowledged is lost while PostgreSQL is gone, and requests get 503 and Retry-After', async () => {
    await underLoad('database', async () => {
      await scaled.database.kill();
      try {
        await expect.poll(() => probe('/readyz')).toEqual([503, 503, 503]);
        expect(await probe('/healthz')).toEqual([200, 200, 200]);
        const refused = mustBe(503, await registry.send('/v2/local/app/manifests/1'), 'GET manifest');
        expect(header(refused, 'retry-after')).toBe('5');
        await sleep(faultMs);
      } finally {
        await scaled.database.restart();
      }
    });
  });

  test('nothing acknowledged is lost while the S3 server answers 503, and the nodes are not ready', async () => {
    let refused = 0;
    await underLoad('store', async () => {
      store.find = () => {
        refused++;
        return { answer: 503 };
      };
      try {
        await expect.poll(() => probe('/readyz')).toEqual([503, 503, 503]);
        expect(await probe('/healthz')).toEqual([200, 200, 200]);
        await sleep(faultMs);
      } finally {
        store.find = () => undefined;
      }
    });
    expect(refused).toBeGreaterThan(0);
  });

  test('a rolling restart of all nodes under load fails no push that the client repeats', async () => {
    await underLoad('restart', async () => {
      for (const node of scaled.nodes) {
        await node.stop();
        await node.start();
        await expect.poll(() => probe('/readyz')).toEqual([200, 200, 200]);
      }
    });
  });

  test('a token that is revoked on one node is refused by all within a second', async () => {
    const [first, second] = scaled.nodes.map(({ origin }) => as('root', origin)) as [RegistryHttp, RegistryHttp];
    const post = async (path: string, document: object): Promise<{ id: string; token: string }> => {
      const headers = { 'content-type': 'application/json' };
      const answer = await first.send(`/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(document) });
      return JSON.parse(mustBe(201, answer, path).body.toString()) as { id: string; token: string };
    };
    await post('accounts', { name: 'robot' });
    const { id, token } = await post('accounts/robot/tokens', { description: 'ci' });
    const authorization = `Basic ${Buffer.from(`robot:${token}`).toString('base64')}`;
    const statuses = () =>
      Promise.all(
        scaled.nodes.map(async ({ origin }) => (await http(`${origin}/v2/`, { headers: { authorization } })).status),
      );
    expect(await statuses()).toEqual([200, 200, 200]);
    mustBe(204, await second.send(`/api/v1/accounts/robot/tokens/${id}`, { method: 'DELETE' }), 'DELETE token');
    let polls = 0;
    for (; (await statuses()).includes(200); polls++) {
      // More than a second even if every answer took no time.
      if (polls === 100) expect.fail('a node still accepts the token');
      await sleep(20);
    }
    expect(await statuses()).toEqual([401, 401, 401]);
    console.log(`scale-out: a revoked token was refused by all nodes at poll ${polls + 1}, 20 ms apart`);
  });
});
