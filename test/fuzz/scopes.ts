import type { Random } from './random.js';
import { ana, basic } from './scene.js';

/** A question to the token endpoint. */
export interface TokenRequest {
  readonly what: 'ask';
  readonly method: string;
  readonly host: string;
  readonly as: 'ana' | 'nobody' | 'stranger';
  /** Parameters of the query, or of the form when it is a POST. */
  readonly parameters: readonly { readonly name: string; readonly value: string }[];
  /** Goes after them as it is. */
  readonly raw: string;
  readonly contentType: string;
}

/** A token of an external token server, with this `access` claim, that is presented with a pull. */
export interface PresentedToken {
  readonly what: 'present';
  readonly access: unknown;
  readonly name: string;
}

export type ScopeInput = TokenRequest | PresentedToken;

const names = [
  'public/app',
  'public/ana/app',
  'all/ana/app',
  'all/app',
  'secret/x',
  'hub/public/app',
  'hub/private/x',
  'pass/public/app',
  'pass/private/x',
  'app',
  'ana/app',
  'nowhere/x',
  'public',
  'secret',
  'catalog',
];
const actions = ['pull', 'push', 'delete', '*', 'pull,push', 'pull,push,delete', 'push,delete', 'pull,pull', 'admin'];
const types = ['repository', 'repository', 'repository', 'registry', 'repository(plugin)', 'Repository', 'token', ''];
const oddNames = [
  'public/ana/app/../../secret/x',
  'public/ana/app%2f..',
  'public//ana/app',
  '/public/ana/app',
  'public/ana/app/',
  'secret.example/x',
  'secret.example:5000/x',
  '[::1]:5000/public/ana/app',
  'PUBLIC/ana/app',
  'public/ana/app:latest',
  'public/ana/**',
  'public/*',
  '*',
  '**',
  '',
  '"',
  'public/ana/app","actions":["push"]},{"type":"repository","name":"secret/x',
  'public/ana/\u0000',
  'public/ana/é',
  'public/ana/app\r\nX: y',
  '__proto__',
  'constructor',
  'docker.io/x',
];

export function generateScopeInput(random: Random): ScopeInput {
  if (random.chance(0.35)) return presentToken(random);
  const isPost = random.chance(0.4);
  const as = random.pick(['ana', 'ana', 'nobody', 'stranger'] as const);
  const parameters = Array.from({ length: random.chance(0.1) ? random.int(120) : random.int(4) }, () => ({
    name: random.chance(0.9) ? 'scope' : random.pick(['Scope', 'scope[]', '__proto__', 'scopes', '']),
    value: Array.from({ length: 1 + random.int(random.chance(0.1) ? 80 : 2) }, () => wordOf(random)).join(
      random.pick([' ', ' ', ' ', '  ', '+', ',', '\t']),
    ),
  }));
  if (random.chance(0.5)) parameters.unshift({ name: 'service', value: random.pick(['artifactapi', 'other', '']) });
  if (random.chance(0.2)) parameters.push({ name: 'offline_token', value: random.pick(['true', '1', 'TRUE']) });
  if (random.chance(0.2)) parameters.push({ name: 'account', value: random.pick(['root', 'ana', '']) });
  if (isPost) parameters.push(...formOf(random, as));
  return {
    what: 'ask',
    method: isPost ? 'POST' : random.chance(0.95) ? 'GET' : random.pick(['PUT', 'DELETE', 'HEAD']),
    host: random.chance(0.85) ? '127.0.0.1' : random.pick(['secret.example', 'secret.example:5000', 'a b']),
    as,
    parameters,
    raw: random.chance(0.15)
      ? random.pick(['&scope', '&&=&', '&scope=%', '&scope=%ff%fe', `&x=${'a'.repeat(9000)}`])
      : '',
    contentType: random.chance(0.9)
      ? 'application/x-www-form-urlencoded'
      : random.pick(['application/json', '', 'x;;']),
  };
}

/** The value of `Authorization` that goes with it. A form brings its own. */
export function authorizationOf({ as, method }: TokenRequest): string | undefined {
  if (as === 'nobody' || method === 'POST') return undefined;
  return as === 'ana' ? basic(ana) : basic({ name: 'ana', password: 'wrong' });
}

export function encodeParameters({ parameters, raw }: TokenRequest): string {
  const pairs = parameters.map(({ name, value }) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  return pairs.join('&') + raw;
}

function formOf(random: Random, as: TokenRequest['as']): { name: string; value: string }[] {
  const username = as === 'nobody' ? '' : ana.name;
  const password = { ana: ana.password, nobody: '', stranger: 'wrong' }[as];
  const grant = random.chance(0.9) ? 'password' : random.pick(['refresh_token', 'client_credentials', '']);
  const form = [
    { name: 'grant_type', value: grant },
    { name: 'username', value: username },
    { name: 'password', value: password },
  ];
  if (random.chance(0.2)) form.push({ name: 'access_type', value: 'offline' });
  if (grant === 'refresh_token') form.push({ name: 'refresh_token', value: random.pick(['', 'a.b.c', '....', 'x']) });
  return form;
}

function wordOf(random: Random): string {
  const word = `${random.pick(types)}:${nameOf(random)}:${random.pick(actions)}`;
  switch (random.int(12)) {
    case 0:
      return word.slice(0, random.int(word.length + 1));
    case 1:
      return `${word}:${random.pick(actions)}`;
    case 2:
      return word.replaceAll(':', random.pick(['::', '', '/', ': ']));
    default:
      return word;
  }
}

function nameOf(random: Random): string {
  if (random.chance(0.75)) return random.pick(names);
  if (random.chance(0.1)) return `public/ana/${'a'.repeat(random.int(700))}`;
  if (random.chance(0.1)) return `public/ana${'/a'.repeat(random.int(200))}`;
  return random.pick(oddNames);
}

function presentToken(random: Random): PresentedToken {
  const name = random.pick(['public/app', 'public/app', 'secret/x']);
  const entries = Array.from({ length: random.chance(0.1) ? random.int(150) : random.int(5) }, () =>
    entryOf(random, name),
  );
  const access = random.chance(0.9) ? entries : random.pick([null, {}, 'repository:public/app:pull', [[entries]], 7]);
  return { what: 'present', access, name };
}

function entryOf(random: Random, name: string): unknown {
  const entry: Record<string, unknown> = {
    type: random.pick(types),
    name: random.chance(0.5) ? name : nameOf(random),
    actions: random.chance(0.8)
      ? random.pick(actions).split(',')
      : random.pick<unknown>(['pull', null, {}, [['pull']], [1]]),
  };
  if (random.chance(0.15)) entry[random.pick(['type', 'name', 'actions'])] = random.pick<unknown>([null, 1, [], {}]);
  if (random.chance(0.1)) return random.pick<unknown>([null, 'repository:public/app:pull', [], [entry], 3]);
  return entry;
}
