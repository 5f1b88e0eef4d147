import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent } from 'undici';
import { projectRoot, run } from './commands.js';
import { RegistryHttp, mustBe } from './registry-http.js';
import type { HttpOptions } from './registry-http.js';
import { startRegistry } from './registry-server.js';
import type { RegistryServer } from './registry-server.js';
import { openWorkspace } from './test-bed.js';
import type { Workspace } from './test-bed.js';

/** Root is an administrator, Ana is in the team, Ben has only a password. */
const passwords = { root: 'root-secret', ana: 'ana-secret', ben: 'ben-secret' } as const;

export type User = keyof typeof passwords;

/** The lines of a password file for these users, as `htpasswd -B` writes it, with the lowest cost. */
export const htpasswd = [
  'root:$2b$04$s56u6kdNOvLT/mfLMX3tiu2.e7yqDb.wkeZTdh5.v3KX6f3cqC9Gq',
  'ana:$2b$04$7qeshtu9TUVUpDs1zvi/PujVuCvsIB74wIaCOEWH6vE3ZsT3NWYvu',
  'ben:$2b$04$zL/rMZkoqN5zi29QKKnBheglQ5dHkwbaux81WQQ.W1TvZlbdfNbZy',
];

/** A registry with access rules, and a workspace for clients that log in. */
export interface AccessBed extends Workspace {
  readonly registry: RegistryServer;
  /** Returns `127.0.0.1:PORT/<name>`, where the name begins with the repository. */
  ref(name: string): string;
  /** Returns an HTTP client that sends the password of the user in every request. */
  as(user: User): RegistryHttp;
  /** Calls the management API as root. Returns the answer, which must have this status. */
  manage(status: number, path: string, options: HttpOptions): Promise<unknown>;
}

export interface AccessBedOptions {
  /** @default 'bearer' */
  readonly challenge?: 'bearer' | 'basic';
  /** @default false: plain HTTP */
  readonly tls?: boolean;
  /** More settings of the config file. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** `info` logs every request. @default 'warn' */
  readonly logLevel?: 'info' | 'warn';
  /** Added to the environment of clients. */
  readonly env?: Readonly<Record<string, string>>;
}

const certificate = join(projectRoot, 'test/support/tls/test-only-certificate.pem');
const key = join(projectRoot, 'test/support/tls/test-only-key.pem');

/** The kinds of challenges, for tables of tests. */
export const accessWays: readonly [string, AccessBedOptions][] = [
  ['a Bearer challenge', {}],
  ['a Basic challenge', { challenge: 'basic' }],
  ['a Bearer challenge over TLS', { tls: true }],
];

/**
 * Starts a registry with three local repositories. Only the team may use `docker-internal`. Everyone may pull from `public` and
 * `mirror`, which has the names of Docker Hub, and the team may push to them. Two virtual repositories have the first two as
 * members: `all` for everyone, `inside` for the team. With TLS, clients trust its certificate like those of the machine's
 * authorities.
 */
export async function openAccessBed(options: AccessBedOptions = {}): Promise<AccessBed> {
  const { challenge = 'bearer', tls = false, env = {}, settings, logLevel = 'warn' } = options;
  const workspace = await openWorkspace(tls ? { ...env, SSL_CERT_FILE: certificate } : env);
  try {
    const file = join(workspace.folder, 'htpasswd');
    await writeFile(file, htpasswd.join('\n'));
    const server = tls ? { server: { tls: { cert: certificate, key } } } : {};
    const config = { ...configuration(file, challenge), ...server, ...settings };
    const registry = await startRegistry(workspace.folder, { config, logLevel });
    workspace.onClose(() => registry.stop());
    const agent = new Agent({ connect: { ca: await readFile(certificate) } });
    workspace.onClose(() => agent.close());
    const as = (user: User) => new RegistryHttp(registry.origin, agent, { authorization: basicAuthorization(user) });
    const manage: AccessBed['manage'] = async (status, path, request) => {
      const { body } = mustBe(status, await as('root').send(`/api/v1${path}`, request), path);
      return body.length === 0 ? undefined : (JSON.parse(body.toString()) as unknown);
    };
    return { ...workspace, registry, ref: (name) => `${registry.host}/${name}`, as, manage };
  } catch (error) {
    await workspace.close();
    throw error;
  }
}

function configuration(htpasswdFile: string, challenge: 'bearer' | 'basic'): Record<string, unknown> {
  const pushTo = 'docker-internal';
  return {
    repositories: [
      ...['docker-internal', 'public', 'mirror'].map((name) => ({ name, type: 'local' })),
      ...['all', 'inside'].map((name) => ({ name, type: 'virtual', members: ['docker-internal', 'public'], pushTo })),
    ],
    defaultRepository: 'mirror',
    access: {
      htpasswd: htpasswdFile,
      challenge,
      groups: { team: ['ana'] },
      rules: [
        { users: ['root'], allow: ['admin'] },
        { names: ['docker-internal/**', 'inside/**'], groups: ['team'], allow: ['pull', 'push'] },
        { names: ['public/**', 'mirror/**', 'all/**'], anonymous: true, allow: ['pull'] },
        { names: ['public/**', 'mirror/**', 'all/**'], groups: ['team'], allow: ['push'] },
      ],
    },
  };
}

/** Returns the `Authorization` header of the user. */
export function basicAuthorization(user: User): string {
  return `Basic ${Buffer.from(userAndPassword(user)).toString('base64')}`;
}

/** Returns the login flags that most clients have. */
export function loginFlags(user: User, password: string = passwords[user]): string[] {
  return ['--username', user, '--password', password];
}

/** Returns `name:password`, for clients that need this form. */
export function userAndPassword(user: User): string {
  return `${user}:${passwords[user]}`;
}

/** Creates a home without logins, in the environment of the workspace. */
export async function freshHome(bed: Workspace): Promise<Workspace> {
  const home = await mkdtemp(join(bed.folder, 'home-'));
  // docker and similar clients store logins below HOME, helm in the config folder, podman and similar ones in the runtime folder.
  const env = { ...bed.env, HOME: home, XDG_CONFIG_HOME: join(home, 'config'), XDG_RUNTIME_DIR: join(home, 'run') };
  await mkdir(env.XDG_RUNTIME_DIR);
  return { ...bed, env, run: (tool, ...args) => run(tool, args, { env, cwd: bed.folder }) };
}
