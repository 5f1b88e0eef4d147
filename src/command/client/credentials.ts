import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { askCredentialHelper } from '../../upstream/credentials/credential-helper.js';
import { UpstreamVerdict } from '../../protocol/upstream/verdict.js';
import type { CommandIo } from '../command-io.js';

/** The credentials for a registry, and where they come from. */
export interface FoundCredentials {
  readonly authorization?: string;
  readonly from: string;
}

/** Returns the `Authorization` header of a name and a password. */
function basicAuthorization(user: string): string {
  return `Basic ${Buffer.from(user).toString('base64')}`;
}

/**
 * Finds the credentials for a registry: the flag `--user`, which is `name:password`; the environment variables; the URL;
 * the logins of docker and podman for this host and port.
 */
export async function findCredentials(
  url: URL,
  user: string | undefined,
  { env }: Pick<CommandIo, 'env'>,
): Promise<FoundCredentials> {
  if (user !== undefined) return { authorization: basicAuthorization(user), from: 'the flag --user' };
  const { ARTIFACTAPI_TOKEN: token, ARTIFACTAPI_USER: name, ARTIFACTAPI_PASSWORD: password } = env;
  if (token !== undefined && token !== '') return { authorization: `Bearer ${token}`, from: 'ARTIFACTAPI_TOKEN' };
  if (name !== undefined && name !== '')
    return { authorization: basicAuthorization(`${name}:${password ?? ''}`), from: 'ARTIFACTAPI_USER' };
  if (url.username !== '') {
    const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return { authorization: basicAuthorization(login), from: 'the URL' };
  }
  for (const file of loginFiles(env)) {
    const found = await readLogin(file, url.host);
    if (found !== undefined) return found;
  }
  return { from: 'none; use --user, set ARTIFACTAPI_TOKEN, or log in with docker' };
}

/** Returns the files in which docker and podman keep logins. */
function loginFiles(env: CommandIo['env']): readonly string[] {
  const { DOCKER_CONFIG: folder, REGISTRY_AUTH_FILE: file, XDG_RUNTIME_DIR: runtime } = env;
  const home = env['HOME'] ?? homedir();
  return [
    path.join(folder === undefined || folder === '' ? path.join(home, '.docker') : folder, 'config.json'),
    ...(file === undefined || file === '' ? [] : [file]),
    ...(runtime === undefined || runtime === '' ? [] : [path.join(runtime, 'containers/auth.json')]),
  ];
}

interface LoginFile {
  readonly auths?: Readonly<Record<string, { readonly auth?: unknown; readonly identitytoken?: unknown }>>;
  readonly credHelpers?: Readonly<Record<string, unknown>>;
  readonly credsStore?: unknown;
}

/** Returns the login of a host, or `undefined` if the file has none. A file that cannot be used counts as absent. */
async function readLogin(file: string, host: string): Promise<FoundCredentials | undefined> {
  const content = await readFile(file, 'utf8').catch(() => '');
  const { auths, credHelpers, credsStore } = parseLogins(content);
  const key = [host, `https://${host}`, `http://${host}`, `${host}/`].find((name) => auths?.[name] !== undefined);
  const helper = credHelpers?.[host] ?? (key === undefined ? undefined : credsStore);
  const from = `the login for ${host} in ${file}`;
  if (typeof helper === 'string') return askHelper(helper, key ?? host, from);
  const { auth, identitytoken } = (key === undefined ? undefined : auths?.[key]) ?? {};
  if (typeof identitytoken === 'string' && identitytoken !== '') return { from: describeUnusable(from) };
  return typeof auth === 'string' && auth !== '' ? { authorization: `Basic ${auth}`, from } : undefined;
}

function parseLogins(content: string): LoginFile {
  try {
    const parsed: unknown = JSON.parse(content);
    // Each field is checked where it is used.
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

/** Asks `docker-credential-<name>`. A helper that fails is reported only if the registry then refuses the request. */
async function askHelper(helper: string, server: string, from: string): Promise<FoundCredentials> {
  try {
    const secret = await askCredentialHelper([`docker-credential-${helper}`, 'get'], server);
    if (!('password' in secret)) return { from: describeUnusable(from) };
    return { authorization: basicAuthorization(`${secret.username}:${secret.password}`), from };
  } catch (error) {
    if (!(error instanceof UpstreamVerdict)) throw error;
    return { from: `none from ${from}: ${error.message}` };
  }
}

function describeUnusable(from: string): string {
  return `none: ${from} is an identity token, which clients may only pull and push with; use --user or ARTIFACTAPI_TOKEN`;
}
