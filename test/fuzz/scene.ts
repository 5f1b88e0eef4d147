import { writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import path from 'node:path';
import { hashSync } from 'bcryptjs';
import express from 'express';
import { createRegistry, type Registry, type RequestEvent } from '../../src/index.js';
import type { MetadataStore } from '../../src/ports/metadata/metadata.js';
import { createRegistryServer, type RegistryServer } from '../../src/command/serve/server.js';
import { LevelMetadataStore } from '../../src/storage/level/level-metadata-store.js';
import { MemoryBlobStore } from '../support/storage/memory-blob-store.js';
import { Client } from '../support/clients/client.js';
import { describeBytes, digest, imageManifest, types } from '../support/content/content.js';
import { listen, recordingLogger, type LogLine } from '../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../support/storage/scratch.js';
import { Cleanups } from '../support/upstreams/remote.js';
import { RecordingUpstream } from './recording-upstream.js';

/** Bytes that nobody but root may see. */
export const marker = 'TOP-SECRET-7f3a9c';
export const secretTag = 'classified-52e1';
export const ana = { name: 'ana', password: 'correct horse' };
const root = { name: 'root', password: 'battery staple' };

export interface SceneImage {
  readonly manifest: string;
  readonly layer: string;
}

/** A registry with a rule for each kind of repository, two servers in front of it, and all that there is to watch. */
export interface Scene {
  readonly registry: Registry;
  readonly metadata: MetadataStore;
  /** The standalone server. */
  readonly server: RegistryServer;
  /** The standalone server, and an Express app with routes of its own. */
  readonly ports: readonly number[];
  readonly client: Client;
  readonly open: SceneImage;
  readonly secret: SceneImage;
  readonly passed: RecordingUpstream;
  readonly cached: RecordingUpstream;
  readonly log: readonly LogLine[];
  /** What the registry told of requests, by their id. */
  readonly events: Map<string, RequestEvent>;
  /** The URLs that came to the end of the host. */
  readonly leftToHost: readonly string[];
  /** An access token of ana's. */
  anaToken(): Promise<string>;
  close(): Promise<void>;
}

export function basic({ name, password }: { readonly name: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
}

/** Opens it, with something in each repository. */
export async function openScene(): Promise<Scene> {
  const cleanups = new Cleanups();
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const passed = await new RecordingUpstream().start();
  cleanups.add(() => passed.close());
  const cached = await new RecordingUpstream().start();
  cleanups.add(() => cached.close());
  for (const upstream of [passed, cached]) {
    upstream.addImage('public/app', Buffer.from('a public layer of an upstream'));
    upstream.addImage('private/x', Buffer.from(`${marker}: a private layer of an upstream`));
  }
  const metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
  const log = recordingLogger();
  const htpasswd = path.join(folder, 'htpasswd');
  const users = [ana, root].map(({ name, password }) => `${name}:${hashSync(password, 4)}\n`);
  await writeFile(htpasswd, users.join(''));
  const registry = createRegistry({
    storage: { blobs: new MemoryBlobStore(), metadata },
    logger: log,
    access: { htpasswd, groups: { team: [ana.name] }, rules },
    repositories: repositories(passed.url, cached.url),
    hosts: { 'secret.example': 'secret' },
    namespaces: { 'docker.io': 'secret' },
    defaultRepository: 'public',
    garbageCollection: { intervalSeconds: 0 },
  });
  cleanups.add(() => registry.close());
  await registry.ready();
  const events = new Map<string, RequestEvent>();
  registry.events.on('request', (event) => events.set(event.id, event));
  const server = createRegistryServer({ registry, log });
  const { port } = await server.listen(0, '127.0.0.1');
  cleanups.add(() => server.stop(0));
  const leftToHost: string[] = [];
  const host = await listen(hostApp(registry, leftToHost));
  cleanups.add(() => host.close());
  const client = new Client(`http://127.0.0.1:${port}`);
  cleanups.add(() => client.close());
  const open = await pushImage(client, 'public/app', 'latest', 'a public layer');
  const secret = await pushImage(client, 'secret/x', secretTag, `${marker}: a layer`);
  return {
    registry,
    metadata,
    server,
    ports: [port, host.port],
    client,
    open,
    secret,
    passed,
    cached,
    log: log.lines,
    events,
    leftToHost,
    anaToken: async () => {
      const scopes = ['public/app', 'secret/x', 'pass/public/app', 'public/ana/app'].map(
        (name) => `scope=repository:${name}:pull,push,delete`,
      );
      const answer = await client.get(`/v2/token?${scopes.join('&')}`, { authorization: basic(ana) });
      return (answer.json() as { token: string }).token;
    },
    close: () => cleanups.run(),
  };
}

const rules = [
  { names: ['public/**', 'all/**', 'hub/public/**', 'pass/public/**'], anonymous: true, allow: ['pull'] },
  { names: ['public/ana/**', 'all/ana/**'], groups: ['team'], allow: ['pull', 'push', 'delete'] },
  { users: ['root'], allow: ['admin'] },
] as const;

function repositories(passedUrl: string, cachedUrl: string) {
  return [
    { name: 'public', type: 'local' },
    { name: 'secret', type: 'local' },
    { name: 'hub', type: 'remote', url: cachedUrl },
    { name: 'pass', type: 'remote', url: passedUrl, cache: false },
    { name: 'all', type: 'virtual', members: ['public', 'secret', 'hub'], pushTo: 'public' },
  ] as const;
}

/** A host with a guard of its own, and a route behind it. */
function hostApp(registry: Registry, left: string[]): RequestListener {
  const app = express();
  app.use('/internal', (_req, res) => void res.status(403).end('guarded'));
  app.get('/internal/report', (_req, res) => void res.end(marker));
  app.use(registry.middleware);
  app.use(registry.management);
  app.use((req, res) => {
    left.push(req.originalUrl);
    res.writeHead(418, { 'Content-Length': 8 }).end('not ours');
  });
  return (req, res) => {
    // Express passes an absolute URL to url.parse, which throws for some that are not valid and warns about others.
    if (/^[a-z]+:/i.test(req.url ?? '') && !URL.canParse(req.url ?? '')) res.writeHead(400).end();
    else app(req, res);
  };
}

async function pushImage(client: Client, name: string, tag: string, text: string): Promise<SceneImage> {
  const headers = { authorization: basic(root) };
  const layer = Buffer.from(text);
  const config = Buffer.from(`{"of":"${text}"}`);
  for (const bytes of [layer, config]) {
    const path = `/v2/${name}/blobs/uploads/?digest=${digest(bytes)}`;
    const { status } = await client.post(path, { headers, body: bytes });
    if (status !== 201) throw new Error(`the scene is not set: a blob got ${status}`);
  }
  const manifest = imageManifest(text, {
    config: describeBytes(types.ociConfig, config),
    layers: [describeBytes(types.ociLayer, layer)],
    annotations: { what: text },
  });
  const { status } = await client.put(`/v2/${name}/manifests/${tag}`, {
    headers: { ...headers, 'content-type': manifest.type },
    body: manifest.bytes,
  });
  if (status !== 201) throw new Error(`the scene is not set: a manifest got ${status}`);
  return { manifest: manifest.digest, layer: digest(layer) };
}
