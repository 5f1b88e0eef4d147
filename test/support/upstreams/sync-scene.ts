import { expect } from 'vitest';
import type { RegistryOptions } from '../../../src/index.js';
import { json } from '../access/access.js';
import type { Answer } from '../clients/client.js';
import { startRemote, type Cleanups, type RemoteScene } from './remote.js';

/** A job as the API shows it, as far as tests of syncs need it. */
interface SyncJob {
  readonly id: string;
  readonly state: string;
  readonly error?: string;
  readonly report?: Readonly<Record<string, unknown>> & {
    readonly problems: readonly { readonly image: string; readonly tag?: string; readonly error: string }[];
  };
}

/** A registry with the upstream `hub`, the target `mirror`, and syncs between them. */
export interface SyncScene extends RemoteScene {
  /** Creates a sync, or replaces it. @param name `s` by default. */
  readonly define: (settings: object, name?: string) => Promise<void>;
  /** Runs the sync `s` until it ended. */
  readonly run: (more?: object) => Promise<SyncJob>;
  /** Starts it and returns the id of the job. */
  readonly start: (more?: object) => Promise<string>;
  readonly ended: (id: string) => Promise<SyncJob>;
  readonly get: (path: string) => Promise<Answer>;
  /** Returns the tags of an image at the target; `undefined` if it does not exist. */
  readonly tagsOf: (image: string) => Promise<readonly string[] | undefined>;
}

/** Starts a scene. */
export async function startSync(
  cleanups: Cleanups,
  options: Partial<RegistryOptions> & { readonly sparse?: boolean | 'indexes'; readonly onDisk?: boolean } = {},
): Promise<SyncScene> {
  const { sparse = 'indexes', ...rest } = options;
  const scene = await startRemote(cleanups, {}, { others: () => [{ name: 'mirror', type: 'local', sparse }], ...rest });
  return { ...scene, ...sceneOf(scene) };
}

/** Returns what a test needs of a scene that was started in another way. */
export function sceneOf({ client }: Pick<RemoteScene, 'client'>): Omit<SyncScene, keyof RemoteScene> {
  const send = (method: 'POST' | 'PUT', path: string, document: object): Promise<Answer> =>
    client.send(method, `/api/v1/${path}`, { headers: json, body: JSON.stringify(document) });
  const get = (path: string): Promise<Answer> => client.get(`/api/v1/${path}`);
  const start = async (more: object = {}): Promise<string> => {
    const request = { kind: 'sync', sync: 's', ...more };
    let answer = await send('POST', 'jobs', request);
    // A job that ended is still being tidied up for a moment.
    while (answer.status === 409) answer = await send('POST', 'jobs', request);
    expect(answer.status, answer.body.toString()).toBe(202);
    return (answer.json() as SyncJob).id;
  };
  const ended = async (id: string): Promise<SyncJob> => {
    for (;;) {
      const job = (await get(`jobs/${id}`)).json() as SyncJob;
      if (job.state !== 'running') return job;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  return {
    define: async (settings, name = 's') => {
      const document = { from: 'hub', to: 'mirror', every_seconds: 0, ...settings };
      const known = (await get(`syncs/${name}`)).status === 200;
      const answer = await (known
        ? send('PUT', `syncs/${name}`, document)
        : send('POST', 'syncs', { name, ...document }));
      expect(answer.status, answer.body.toString()).toBe(known ? 200 : 201);
    },
    start,
    ended,
    run: async (more) => ended(await start(more)),
    get,
    tagsOf: async (image) => {
      const answer = await client.get(`/v2/mirror/${image}/tags/list`);
      return answer.status === 404 ? undefined : (answer.json() as { tags: string[] }).tags;
    },
  };
}
