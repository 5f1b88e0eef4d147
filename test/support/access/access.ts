import { hashSync } from 'bcryptjs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { AccessOptions, RegistryOptions } from '../../../src/index.js';
import { Client, type Answer, type Method, type Send } from '../clients/client.js';
import { describeBytes, digest, manifestOf, types, type Manifest } from '../content/content.js';
import { startMemoryRegistry, startRegistry, type TestRegistry } from '../servers/registry.js';
import type { Cleanups } from '../upstreams/remote.js';
import { makeScratchFolder, removeScratchFolder } from '../storage/scratch.js';

/** Headers of a JSON body. */
export const json = { 'Content-Type': 'application/json' };
/** Headers of a form. */
export const form = { 'Content-Type': 'application/x-www-form-urlencoded' };

/** Returns the password of a test user. */
export function passwordOf(user: string): string {
  return `password of ${user}`;
}

/** Returns the `Authorization` header of a user. */
export function basic(user: string, password = passwordOf(user)): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** By password: the users of most scenes are the same, and even the lowest cost takes a millisecond. */
const hashes = new Map<string, string>();

/** Returns the lines of an htpasswd file, with the lowest bcrypt cost. */
export function htpasswdOf(users: readonly string[], password = passwordOf): string {
  return users.map((user) => `${user}:${hashOf(password(user))}\n`).join('');
}

function hashOf(password: string): string {
  const hash = hashes.get(password) ?? hashSync(password, 4);
  hashes.set(password, hash);
  return hash;
}

/** Sends a request as a certain user. */
export type Ask = (method: Method, path: string, send?: Send) => Promise<Answer>;

/** A registry with rules, and requests to it. */
export interface AccessScene {
  readonly server: TestRegistry;
  /** Sends a request without a login. */
  readonly ask: Ask;
  /** Sends requests with this `Authorization`, unless the headers of a request override it. */
  readonly as: (authorization: string) => Ask;
  /** Requests an access token for the scopes. */
  readonly token: (scopes: string | readonly string[], authorization?: string) => Promise<string>;
  /** The path of the htpasswd file. */
  readonly htpasswd: string;
}

/** Options of a scene. */
export type SceneOptions = Omit<Partial<RegistryOptions>, 'access'> & {
  readonly access?: AccessOptions;
  /** The users in the htpasswd file. */
  readonly users?: readonly string[];
  readonly password?: (user: string) => string;
};

/** Starts a registry with rules and an htpasswd file, on disk if a storage folder is given. */
export async function startAccess(
  cleanups: Cleanups,
  { users = ['root'], password = passwordOf, access, ...options }: SceneOptions,
): Promise<AccessScene> {
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const htpasswd = join(folder, 'users.htpasswd');
  await writeFile(htpasswd, htpasswdOf(users, password));
  const start = options.storage === undefined ? startMemoryRegistry : startRegistry;
  const server = await start({ ...options, access: { htpasswd, ...access } });
  cleanups.add(() => server.close());
  const client = new Client(server.url);
  cleanups.add(() => client.close());
  const ask: Ask = (method, path, send) => client.send(method, path, send);
  const as = (authorization: string): Ask => {
    return (method, path, { headers, ...send } = {}) =>
      ask(method, path, { ...send, headers: { Authorization: authorization, ...headers } });
  };
  const token: AccessScene['token'] = async (scopes, authorization) => {
    const query = new URLSearchParams([scopes].flat().map((scope) => ['scope', scope] as [string, string]));
    const headers = authorization === undefined ? {} : { Authorization: authorization };
    const answer = await ask('GET', `/v2/token?${query.toString()}`, { headers });
    expect(answer.status, answer.body.toString()).toBe(200);
    return (answer.json() as { token: string }).token;
  };
  return { server, ask, as, token, htpasswd };
}

/** An image that was pushed. */
export interface PushedImage {
  readonly blob: Buffer;
  readonly digest: string;
  readonly manifest: Manifest;
}

/** Pushes one layer and its manifest. The content depends on `label`. */
export async function pushImage(ask: Ask, name: string, label = name, tag = 'v1'): Promise<PushedImage> {
  const blob = Buffer.from(`layer of ${label}`);
  const pushed = await ask('POST', `/v2/${name}/blobs/uploads/?digest=${digest(blob)}`, { body: blob });
  expect(pushed.status, pushed.body.toString()).toBe(201);
  const manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, blob),
    layers: [describeBytes(types.ociLayer, blob)],
  });
  const headers = { 'Content-Type': manifest.type };
  const answer = await ask('PUT', `/v2/${name}/manifests/${tag}`, { headers, body: manifest.bytes });
  expect(answer.status, answer.body.toString()).toBe(201);
  return { blob, digest: digest(blob), manifest };
}

/** Sends a document to the management API, and expects the status. */
export async function manage(ask: Ask, method: Method, path: string, document: object, status = 201): Promise<unknown> {
  const answer = await ask(method, `/api/v1/${path}`, { headers: json, body: JSON.stringify(document) });
  expect(answer.status, answer.body.toString()).toBe(status);
  return answer.json();
}

/** Returns the parts of an answer that must be equal, without those that always differ. */
export function comparable({ status, headers, body }: Answer, ...names: readonly string[]): object {
  const { date: _date, 'x-request-id': _id, 'content-length': _length, ...kept } = headers;
  const hide = (text: string): string => names.reduce((rest, name) => rest.replaceAll(name, '<name>'), text);
  return { status, headers: hide(JSON.stringify(kept)), body: hide(body.toString()) };
}
