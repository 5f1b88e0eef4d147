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

/** Root administers, Ana is in the team, Ben is just somebody with a password. */
const passwords = { root: 'root-secret', ana: 'ana-secret', ben: 'ben-secret' } as const;

export type User = keyof typeof passwords;

/** As `htpasswd -B` writes it, of the lowest cost. */
const htpasswd = [
  'root:$2b$04$s56u6kdNOvLT/mfLMX3tiu2.e7yqDb.wkeZTdh5.v3KX6f3cqC9Gq',
  'ana:$2b$04$7qeshtu9TUVUpDs1zvi/PujVuCvsIB74wIaCOEWH6vE3ZsT3NWYvu',
  'ben:$2b$04$zL/rMZkoqN5zi29QKKnBheglQ5dHkwbaux81WQQ.W1TvZlbdfNbZy',
];

/** A registry where not everybody may do everything, and a place for clients to log in from. */
export interface AccessBed extends Workspace {
  readonly registry: RegistryServer;
  /** `127.0.0.1:PORT/<name>`, where the name begins with the repository's. */
  ref(name: string): string;
  /** Straight to the registry, with the user's password in every request. */
  as(user: User): RegistryHttp;
  /** The management API as root: what it answers with this status. */
  manage(status: number, path: string, options: HttpOptions): Promise<unknown>;
}

export interface AccessBedOptions {
  /** @default 'bearer' */
  readonly challenge?: 'bearer' | 'basic';
  /** @default false: plain HTTP */
  readonly tls?: boolean;
  /** More of its config file. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** `info` logs every request. @default 'warn' */
  readonly logLevel?: 'info' | 'warn';
  /** Added to the environment of clients. */
  readonly env?: Readonly<Record<string, string>>;
}

const certificate = join(projectRoot, 'test/support/tls/test-only-certificate.pem');
const key = join(projectRoot, 'test/support/tls/test-only-key.pem');

/** The ways in which a registry asks for a login, for tables of tests. */
export const accessWays: readonly [string, AccessBedOptions][] = [
  ['a Bearer challenge', {}],
  ['a Basic challenge', { challenge: 'basic' }],
  ['a Bearer challenge over TLS', { tls: true }],
];

/**
 * Starts a registry of three locals: `docker-internal` is the team's alone; of `public` anybody may pull and the team push, so
 * with `mirror`, which has the names of Docker Hub. Two virtuals have the first two: `all` for everybody, `inside` for the
 * team. Over TLS, clients trust its certificate as they do the authorities of the machine.
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

/** What a request of the user's has in its `Authorization`. */
export function basicAuthorization(user: User): string {
  return `Basic ${Buffer.from(userAndPassword(user)).toString('base64')}`;
}

/** How most clients are told who logs in. */
export function loginFlags(user: User, password: string = passwords[user]): string[] {
  return ['--username', user, '--password', password];
}

/** `name:password`, as others want it. */
export function userAndPassword(user: User): string {
  return `${user}:${passwords[user]}`;
}

/** A home where nobody has logged in yet; everything else is the workspace's. */
export async function freshHome(bed: Workspace): Promise<Workspace> {
  const home = await mkdtemp(join(bed.folder, 'home-'));
  // Docker's like keep logins below HOME, helm in the config folder, podman's like in the runtime folder.
  const env = { ...bed.env, HOME: home, XDG_CONFIG_HOME: join(home, 'config'), XDG_RUNTIME_DIR: join(home, 'run') };
  await mkdir(env.XDG_RUNTIME_DIR);
  return { ...bed, env, run: (tool, ...args) => run(tool, args, { env, cwd: bed.folder }) };
}
