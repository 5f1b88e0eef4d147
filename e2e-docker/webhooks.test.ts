import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { describeClient } from './support/client-suite.js';
import type { Image } from './support/images.js';
import { freshImage, startCache } from './support/mirror-bed.js';
import { mustBe, RegistryHttp } from './support/registry-http.js';
import { openWorkspace } from './support/test-bed.js';
import type { Workspace } from './support/test-bed.js';
import { startDistribution, upstreamAccount as account } from './support/upstreams.js';

interface EnvelopeEvent {
  readonly action: string;
  readonly timestamp: string;
  readonly target: { readonly digest?: string; readonly tag?: string; readonly url?: string };
  readonly request: { readonly addr: string };
  readonly source: { readonly addr: string };
}

/** A receiver. It keeps what each registry sent, by the path of its URL. */
interface Sink {
  readonly url: string;
  readonly received: { readonly path: string; readonly type: string; readonly events: readonly EnvelopeEvent[] }[];
}

let workspace: Workspace;
let sink: Sink;

beforeEach(async () => {
  workspace = await openWorkspace();
  sink = await startSink();
});
afterEach(() => workspace?.close());

async function startSink(): Promise<Sink> {
  const received: Sink['received'] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      const { events } = JSON.parse(Buffer.concat(chunks).toString()) as { events: EnvelopeEvent[] };
      received.push({ path: String(req.url), type: String(req.headers['content-type']), events });
      res.writeHead(200).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  workspace.onClose(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

interface Sender {
  readonly origin: string;
  readonly path: string;
}

async function startOwn(): Promise<Sender> {
  const passwords = join(workspace.folder, 'own-htpasswd');
  await writeFile(passwords, `${account.line}\n`);
  const { origin } = await startCache(workspace, {
    config: {
      repositories: [{ name: 'local', type: 'local' }],
      access: { htpasswd: passwords, rules: [{ users: [account.username], allow: ['pull', 'push', 'delete'] }] },
      webhooks: [
        {
          name: 'sink',
          url: `${sink.url}/own`,
          secret: 'of-24-characters-or-more',
          events: ['push', 'delete', 'pull'],
        },
      ],
    },
  });
  return { origin, path: '/own' };
}

async function startOther(program: string): Promise<Sender> {
  const notify = `${sink.url}/${program}`;
  const other = await startDistribution(join(workspace.folder, program), { basic: true, program, notify });
  workspace.onClose(() => other.stop());
  return { origin: other.origin, path: `/${program}` };
}

/** Pushes two images by a tag, which moves, and one by its digest; pulls by tag and digest; deletes a tag and manifests. */
async function work({ origin }: Sender, images: readonly [Image, Image, Image], deletesTags: boolean): Promise<void> {
  const { username, password } = account;
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const registry = new RegistryHttp(origin, undefined, { authorization, 'user-agent': 'probe/1' });
  const remove = async (reference: string): Promise<void> => {
    mustBe(202, await registry.send(`/v2/local/app/manifests/${reference}`, { method: 'DELETE' }), reference);
  };
  const [first, second, third] = images;
  await registry.pushImage('local/app', 'v1', first);
  await registry.pullImage('local/app', 'v1', first);
  await registry.pullImage('local/app', first.manifest.digest, first);
  await registry.pushImage('local/app', 'v1', second);
  await registry.pushImage('local/app', third.manifest.digest, third);
  await remove(first.manifest.digest);
  await remove(second.manifest.digest);
  await registry.pushImage('local/app', 'v2', third);
  if (deletesTags) await remove('v2');
}

/** Returns the events of manifests and tags, without what differs from one registry or request to another, sorted. */
function eventsOf({ path, origin }: Sender, images: readonly Image[]): object[] {
  const manifests = new Set(images.map(({ manifest }) => manifest.digest));
  const events = sink.received.filter((one) => one.path === path).flatMap((one) => one.events);
  return events
    .filter(({ target: { digest, tag } }) => tag !== undefined || manifests.has(String(digest)))
    .map((event) => {
      expect(Number.isNaN(Date.parse(event.timestamp)), event.timestamp).toBe(false);
      // The ports of clients, and those of distribution where ours has none.
      const bare = (address: string): string => address.replace(/:[0-9]+$/, '');
      const { request, source } = event;
      const shown = {
        ...event,
        id: 'an id',
        timestamp: 'a time',
        request: { ...request, id: 'an id', addr: bare(request.addr) },
        source: { ...source, instanceID: 'an id', addr: bare(source.addr) },
      };
      return JSON.parse(JSON.stringify(shown).replaceAll(new URL(origin).host, 'registry.example')) as typeof shown;
    })
    .toSorted((a, b) => keyOf(a).localeCompare(keyOf(b)));
}

function keyOf({ action, target: { digest = '', tag = '' } }: Pick<EnvelopeEvent, 'action' | 'target'>): string {
  return `${action} ${tag} ${digest}`;
}

async function compare(
  program: string,
  deletesTags: boolean,
): Promise<{ readonly own: object[]; readonly other: object[] }> {
  const images = [await freshImage('amd64'), await freshImage('amd64'), await freshImage('amd64')] as const;
  const senders = [await startOwn(), await startOther(program)] as const;
  for (const sender of senders) await work(sender, images, deletesTags);
  const count = deletesTags ? 10 : 9;
  for (const sender of senders) await expect.poll(() => eventsOf(sender, images).length).toBe(count);
  const [own, other] = senders.map((sender) => eventsOf(sender, images));
  return { own: own ?? [], other: other ?? [] };
}

describeClient('The notifications of CNCF distribution 3', ['registry'], () => {
  test('have the same fields and values as our webhooks for pushes, pulls, moved tags and deletes', async () => {
    const { own, other } = await compare('registry', true);
    expect(own).toEqual(other);
    const types = sink.received.map(({ type }) => type);
    expect([...new Set(types)]).toEqual(['application/vnd.docker.distribution.events.v2+json']);
  });
});

describeClient("The notifications of Debian's docker-registry", ['docker-registry'], () => {
  test('have the same values as our webhooks, except for empty ones, which it omits', async () => {
    const { own, other } = await compare('docker-registry', false);
    const empty = { mediaType: '', digest: '', size: 0 };
    const filled = other.map((event) => ({ ...event, target: { ...empty, ...(event as EnvelopeEvent).target } }));
    expect(own).toEqual(filled);
  });
});
