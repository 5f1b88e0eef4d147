import { decodeJwt } from 'jose';
import type { Answer } from '../support/clients/client.js';
import { errorProblems } from './errors.js';
import type { PresentedToken, TokenRequest } from './scopes.js';

interface Grant {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

const repositories = ['public', 'secret', 'hub', 'pass', 'all'];
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const namePattern = new RegExp(`^${component}(?:/${component})*$`);
const wellFormed = /^repository:([a-z0-9/._-]{1,255}):(pull|push|delete)$/;
/** From here on the registry leaves out what is asked for. */
const maxScopes = 10;
/** An answer with so many grants of the longest names. */
const maxAnswerBytes = 32 * 1024;

/** What the rules of the scene give, written down by hand: the rules are what is tested. */
function mayDo(who: 'ana' | 'nobody', name: string, action: string, host: string): boolean {
  if (name.length > 255 || !namePattern.test(name) || host.startsWith('secret.example')) return false;
  const [first = '', ...rest] = name.split('/');
  const isNamed = rest.length > 0 && repositories.includes(first);
  const at = isNamed ? name : `public/${name}`;
  if (who === 'ana' && /^(?:public|all)\/ana\/./.test(at)) return true;
  return action === 'pull' && /^(?:public|all|hub\/public|pass\/public)\/./.test(at);
}

/** What is wrong with an answer of the token endpoint. */
export function judgeTokenAnswer(asked: TokenRequest, answer: Answer): string[] {
  const problems: string[] = [];
  if (answer.body.length > maxAnswerBytes) problems.push(`an answer of ${answer.body.length} bytes`);
  if (answer.status !== 200) {
    const known = [400, 401, 403, 405, 413, 414, 415, 431];
    if (!known.includes(answer.status)) problems.push(`the token endpoint answered ${answer.status}`);
    return asked.method === 'HEAD' ? problems : [...problems, ...errorProblems(answer)];
  }
  if (asked.method === 'HEAD') return problems;
  if (asked.as === 'stranger') problems.push('a wrong password got a token');
  const { token } = answer.json() as { token: string };
  const { sub, access } = decodeJwt(token) as { sub: string; access: readonly Grant[] };
  const who = sub === '' ? 'nobody' : 'ana';
  if (sub !== '' && !(sub === 'ana' && asked.as === 'ana')) problems.push(`the token is ${sub}'s`);
  problems.push(...judgeGrants(access, asked, who));
  return problems;
}

function judgeGrants(access: readonly Grant[], asked: TokenRequest, who: 'ana' | 'nobody'): string[] {
  const problems: string[] = [];
  const words = asked.parameters
    .filter(({ name }) => name === 'scope')
    .flatMap(({ value }) => value.split(' '))
    .filter((word) => word !== '');
  if (access.length > maxScopes) problems.push(`it grants ${access.length} scopes`);
  for (const { type, name, actions } of access) {
    for (const action of actions) {
      const isAsked = words.some((word) => isFor(word, type, name, action));
      if (!isAsked) problems.push(`it grants what nobody asked for: ${type}:${name}:${action}`);
      const isGiven = type === 'registry' ? name === 'catalog' : mayDo(who, name, action, asked.host);
      if (!isGiven) problems.push(`it grants ${who} what no rule gives: ${type}:${name}:${action}`);
    }
  }
  // Nor may it give less, where the question is plain.
  if (words.length > maxScopes || asked.raw !== '') return problems;
  for (const word of words) {
    const [, name = '', action = ''] = wellFormed.exec(word) ?? [];
    const isGranted = access.some((grant) => grant.name === name && grant.actions.includes(action));
    if (name !== '' && !isGranted && mayDo(who, name, action, asked.host)) problems.push(`it does not grant ${word}`);
  }
  return problems;
}

function isFor(word: string, type: string, name: string, action: string): boolean {
  const parts = word.split(':');
  const asked = parts.at(-1)?.split(',') ?? [];
  const isSame = parts[0]?.replace(/\([a-z0-9]+\)$/, '') === type && parts.slice(1, -1).join(':') === name;
  return isSame && (asked.includes(action) || asked.includes('*'));
}

/** What is wrong with the answer to a pull with a token of an external server, where its claims alone decide. */
export function judgePresented({ access, name }: PresentedToken, answer: Answer): string[] {
  const entries = Array.isArray(access) ? (access as unknown[]) : [];
  const gives = entries.map((entry) => {
    const { type, name: of, actions } = (entry ?? {}) as Record<string, unknown>;
    const isOf = (type === 'repository' || type === 'repository(plugin)') && of === name;
    return isOf && Array.isArray(actions) && (actions.includes('pull') || actions.includes('*'));
  });
  if (answer.status === 200) return gives.includes(true) ? [] : [`${name} was pulled without a grant`];
  // It may stop reading after 64 entries.
  if (gives.slice(0, 64).includes(true)) return [`${name} is granted, and was answered ${answer.status}`];
  const known = [401, 403, 404, 431];
  return [...(known.includes(answer.status) ? [] : [`a pull was answered ${answer.status}`]), ...errorProblems(answer)];
}
