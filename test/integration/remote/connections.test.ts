import type { Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { imageManifest } from '../../support/content/content.js';
import { Client } from '../../support/clients/client.js';
import { listen, startMemoryRegistry } from '../../support/servers/registry.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
afterEach(() => cleanups.run());

it.each(['hub', 'through', 'all'])(
  'the last attempt uses a new connection when all idle ones are closed, in "%s"',
  async (name) => {
    const count = 8;
    const { type, bytes } = imageManifest('v1');
    const held: (() => void)[] = [];
    const used = new Set<Socket>();
    // Each connection answers once. The first answers wait for each other, so that there are eight idle connections.
    const upstream = await listen((req, res) => {
      if (used.has(req.socket)) return req.socket.resetAndDestroy();
      used.add(req.socket);
      const answer = (): unknown =>
        res.setHeader('Content-Type', type).setHeader('Content-Length', bytes.length).end(bytes);
      if (used.size > count) return answer();
      held.push(answer);
      if (held.length === count) for (const one of held) one();
      return undefined;
    });
    cleanups.add(() => upstream.close());
    const remote = { type: 'remote', url: upstream.url } as const;
    const server = await startMemoryRegistry({
      repositories: [
        { ...remote, name: 'hub' },
        { ...remote, name: 'through', cache: false },
        { name: 'all', type: 'virtual', members: ['through'] },
      ],
    });
    cleanups.add(() => server.close());
    const client = new Client(server.url);
    cleanups.add(() => client.close());
    const get = async (tag: string): Promise<number> => {
      const answer = await client.get(`/v2/${name}/team/app/manifests/${tag}`);
      return answer.status;
    };
    const first = await Promise.all(Array.from({ length: count }, (_, i) => get(`v${i}`)));
    expect(first).toEqual(Array(count).fill(200));
    expect(await get('last')).toBe(200);
  },
);
